//! What providers demand of a history: the rules of each message format, to hold a history against them before it is sent.
//!
//! The rules are those of the table in `docs/SESSIONS.md`. They look at the messages that a history becomes in a format, and know nothing of
//! how [`valid_history`](crate::valid_history) arranges it, so that the one can prove the other. Nothing is sent or changed here.

use std::collections::BTreeSet;

use store_core::{Item, Role};

use crate::valid::says_something;

/// A format in which conversations are sent to models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageFormat {
    /// Anthropic's Messages: blocks in messages of the user and the assistant, who take turns.
    AnthropicMessages,
    /// OpenAI's Responses: a list of items.
    OpenAiResponses,
    /// Chat completions as OpenAI and many others take them, and as pi keeps them: messages of four roles.
    ChatCompletions,
}

impl MessageFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AnthropicMessages, Self::OpenAiResponses, Self::ChatCompletions];
}

/// What a provider would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryFault {
    /// The place in the history, from 0.
    pub at: usize,
    /// The rule, as the table names it.
    pub rule: &'static str,
}

/// What a provider would refuse in a history, in the order of its places; nothing for one that it takes.
pub fn history_faults(format: MessageFormat, history: &[Item]) -> Vec<HistoryFault> {
    let messages = messages(format, history);
    let mut faults = Faults::default();
    faults.look_at_texts(history);
    faults.look_at_ids(history);
    match format {
        MessageFormat::AnthropicMessages => {
            faults.look_at_turns(&messages);
            faults.look_at_answers(&messages, Who::User);
        }
        MessageFormat::OpenAiResponses => {
            faults.look_at_pairs(history);
            faults.look_at_thoughts(history);
        }
        MessageFormat::ChatCompletions => faults.look_at_answers(&messages, Who::Tool),
    }
    faults.found.sort_by_key(|fault| fault.at);
    faults.found
}

/// Who a message is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    User,
    Assistant,
    Tool,
    System,
}

/// A piece of a message, and the item it is made of.
struct Block<'a> {
    at: usize,
    item: &'a Item,
}

struct Message<'a> {
    who: Who,
    blocks: Vec<Block<'a>>,
}

/// The messages that a history becomes. Neighbours of the same side are one message, but each result of a chat is one of its own.
fn messages(format: MessageFormat, history: &[Item]) -> Vec<Message<'_>> {
    let mut messages: Vec<Message<'_>> = Vec::new();
    for (at, item) in history.iter().enumerate() {
        let Some(who) = who(format, item) else { continue };
        let block = Block { at, item };
        match messages.last_mut().filter(|last| last.who == who && who != Who::Tool) {
            Some(last) => last.blocks.push(block),
            None => messages.push(Message { who, blocks: vec![block] }),
        }
    }
    messages
}

/// Whose message an item goes into; `None` for one that the format has no place for.
fn who(format: MessageFormat, item: &Item) -> Option<Who> {
    let is_anthropic = format == MessageFormat::AnthropicMessages;
    match item {
        Item::Message { role: Role::User, .. } => Some(Who::User),
        Item::Message { role: Role::System | Role::Developer, .. } => {
            Some(if is_anthropic { Who::User } else { Who::System })
        }
        Item::Message { role: Role::Assistant, .. } | Item::ToolCall { .. } => Some(Who::Assistant),
        Item::ToolResult { .. } => Some(if is_anthropic { Who::User } else { Who::Tool }),
        Item::Reasoning { .. } => has_place(format, item).then_some(Who::Assistant),
        Item::Other(_) => None,
    }
}

/// Whether a thought is sent: only in the form that its provider can check or read.
fn has_place(format: MessageFormat, item: &Item) -> bool {
    match (format, item) {
        (MessageFormat::AnthropicMessages, Item::Reasoning { text, signature, encrypted }) => {
            (signature.is_some() && !text.is_empty()) || encrypted.is_some()
        }
        (MessageFormat::OpenAiResponses, Item::Reasoning { encrypted, .. }) => encrypted.is_some(),
        _ => false,
    }
}

#[derive(Default)]
struct Faults {
    found: Vec<HistoryFault>,
}

impl Faults {
    fn add(&mut self, at: usize, rule: &'static str) {
        self.found.push(HistoryFault { at, rule });
    }

    fn look_at_texts(&mut self, history: &[Item]) {
        for (at, item) in history.iter().enumerate() {
            let is_empty = match item {
                Item::Message { parts, .. } => parts.is_empty() || !parts.iter().all(says_something),
                Item::ToolResult { parts, .. } => !parts.iter().all(says_something),
                _ => false,
            };
            if is_empty {
                self.add(at, "no empty text");
            }
        }
    }

    fn look_at_ids(&mut self, history: &[Item]) {
        let mut known = BTreeSet::new();
        for (at, item) in history.iter().enumerate() {
            if let Item::ToolCall { call_id, .. } = item
                && !known.insert(call_id)
            {
                self.add(at, "call ids differ");
            }
        }
    }

    /// The user begins, and an answer does not end with a thought.
    fn look_at_turns(&mut self, messages: &[Message<'_>]) {
        if let Some(first) = messages.first().filter(|first| first.who != Who::User) {
            self.add(first.blocks[0].at, "the user begins");
        }
        for message in messages {
            if let Some(last) = message.blocks.last().filter(|last| matches!(last.item, Item::Reasoning { .. })) {
                self.add(last.at, "no thought at an end");
            }
        }
    }

    /// Directly behind a message with calls stand the results of exactly these, before anything else is said.
    fn look_at_answers(&mut self, messages: &[Message<'_>], by: Who) {
        let mut open: Vec<(usize, &str)> = Vec::new();
        for message in messages {
            let mut is_answering = message.who == by;
            for block in &message.blocks {
                match block.item {
                    Item::ToolResult { call_id, .. } => match open.iter().position(|(_, id)| id == call_id) {
                        Some(call) => drop(open.remove(call)),
                        None => self.add(block.at, "no result without its call"),
                    },
                    _ => is_answering = false,
                }
                if !is_answering {
                    for (call, _) in open.drain(..) {
                        self.add(call, "every call is answered next");
                    }
                }
            }
            for block in message.blocks.iter().filter(|_| message.who == Who::Assistant) {
                if let Item::ToolCall { call_id, .. } = block.item {
                    open.push((block.at, call_id));
                }
            }
        }
        for (call, _) in open {
            self.add(call, "every call is answered next");
        }
    }

    /// Every call has one result behind it, and every result a call before it.
    fn look_at_pairs(&mut self, history: &[Item]) {
        let mut open: Vec<(usize, &str)> = Vec::new();
        for (at, item) in history.iter().enumerate() {
            match item {
                Item::ToolCall { call_id, .. } => open.push((at, call_id)),
                Item::ToolResult { call_id, .. } => match open.iter().position(|(_, id)| id == call_id) {
                    Some(call) => drop(open.remove(call)),
                    None => self.add(at, "no result without its call"),
                },
                _ => {}
            }
        }
        for (call, _) in open {
            self.add(call, "every call is answered");
        }
    }

    /// Behind a thought stands what it led to.
    fn look_at_thoughts(&mut self, history: &[Item]) {
        for (at, item) in history.iter().enumerate() {
            let mut behind =
                history[at + 1..].iter().filter(|item| !matches!(item, Item::Reasoning { .. } | Item::Other(_)));
            let led_to = behind.next();
            let is_followed =
                matches!(led_to, Some(Item::ToolCall { .. } | Item::Message { role: Role::Assistant, .. }));
            if has_place(MessageFormat::OpenAiResponses, item) && !is_followed {
                self.add(at, "no thought without what it led to");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use store_core::Part;

    fn call(id: &str) -> Item {
        Item::ToolCall { call_id: id.into(), name: "n".into(), arguments: json!({}) }
    }

    fn result(id: &str) -> Item {
        Item::ToolResult { call_id: id.into(), parts: vec![Part::text("x")], is_error: false }
    }

    fn user() -> Item {
        Item::message(Role::User, "u")
    }

    fn model() -> Item {
        Item::message(Role::Assistant, "a")
    }

    fn sealed() -> Item {
        Item::Reasoning { text: "t".into(), signature: Some("s".into()), encrypted: Some("e".into()) }
    }

    fn rules(format: MessageFormat, history: &[Item]) -> Vec<(usize, &'static str)> {
        history_faults(format, history).into_iter().map(|fault| (fault.at, fault.rule)).collect()
    }

    /// A history, a format, and what that refuses in it.
    type Case<'a> = (&'a [Item], MessageFormat, &'a [(usize, &'static str)]);

    #[test]
    fn a_whole_conversation_is_taken_in_every_format() {
        let history =
            [user(), sealed(), call("1"), call("2"), result("2"), result("1"), model(), user(), user(), model()];
        for format in MessageFormat::ALL {
            assert_eq!(rules(format, &history), [], "{format:?}");
            assert_eq!(rules(format, &[]), [], "{format:?}");
        }
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        use MessageFormat::{AnthropicMessages, ChatCompletions, OpenAiResponses};
        let empty = Item::message(Role::User, " ");
        let cases: [Case<'_>; 17] = [
            (&[user(), empty.clone()], AnthropicMessages, &[(1, "no empty text")]),
            (&[Item::Message { role: Role::User, parts: vec![] }], OpenAiResponses, &[(0, "no empty text")]),
            (&[user(), call("1"), result("1"), call("1"), result("1")], ChatCompletions, &[(3, "call ids differ")]),
            (&[model()], AnthropicMessages, &[(0, "the user begins")]),
            (&[model()], ChatCompletions, &[]),
            (&[user(), sealed()], AnthropicMessages, &[(1, "no thought at an end")]),
            (&[user(), call("1"), sealed(), result("1")], AnthropicMessages, &[(2, "no thought at an end")]),
            (&[user(), call("1")], AnthropicMessages, &[(1, "every call is answered next")]),
            (
                &[user(), call("1"), user(), result("1")],
                AnthropicMessages,
                &[(1, "every call is answered next"), (3, "no result without its call")],
            ),
            (
                &[user(), call("1"), user(), result("1")],
                ChatCompletions,
                &[(1, "every call is answered next"), (3, "no result without its call")],
            ),
            (&[user(), call("1"), user(), result("1")], OpenAiResponses, &[]),
            (&[user(), result("1")], ChatCompletions, &[(1, "no result without its call")]),
            (&[user(), call("1"), result("1"), result("1")], OpenAiResponses, &[(3, "no result without its call")]),
            (&[user(), call("1"), result("1"), result("1")], AnthropicMessages, &[(3, "no result without its call")]),
            (&[user(), call("1")], OpenAiResponses, &[(1, "every call is answered")]),
            (&[user(), sealed(), user()], OpenAiResponses, &[(1, "no thought without what it led to")]),
            (&[user(), sealed(), user()], ChatCompletions, &[]),
        ];
        for (history, format, expected) in cases {
            assert_eq!(rules(format, history), expected, "{format:?}: {history:?}");
        }
    }
}
