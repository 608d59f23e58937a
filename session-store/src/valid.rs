//! Valid histories: what stands in the logs, arranged so that every provider takes it.
//!
//! A log says what happened: a call that nothing answered, a result that came late, twice or for a call that is not there, a thought
//! that was cut off. Providers refuse a whole conversation for any of these. So a model is given a *view*, made anew each time, and
//! nothing is ever written for it. One arrangement serves all of them, because what each demands can be had together; what a
//! format has no place for is left out on the way there. The rules are a table in `docs/SESSIONS.md`, and
//! [`history_faults`](crate::history_faults) holds a history against them.

use std::collections::{BTreeSet, HashMap};

use store_core::{Content, Item, Part, Role};

use crate::pairing::pair_calls;

/// The text of the result that closes an open call.
pub const INTERRUPTED: &str = "[interrupted]";

/// What a person is made to say where a history begins with the model's words.
pub const BEGINS: &str = "[the conversation begins here]";

/// The history as providers demand it.
///
/// * Behind every run of calls stand their results, each call's first one; a call that has none gets an error that says it was interrupted.
/// * A result without a call, and every further result of a call, is left out.
/// * A call whose id an earlier call has gets an id of its own, and its result with it.
/// * Empty texts are left out, and messages of nothing else.
/// * A thought is left out unless the model went on behind it.
/// * What begins with the model's words gets a message of the user in front.
pub fn valid_history(history: Vec<Item>) -> Vec<Item> {
    arrange(history).into_iter().map(|arranged| arranged.item).collect()
}

/// An item of the view.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arranged {
    /// The place in the history that it comes from; of one that was made for the view, that of an item it stands with.
    pub(crate) at: usize,
    /// It was made for the view.
    pub(crate) is_made: bool,
    pub(crate) item: Item,
}

impl Arranged {
    const fn taken(at: usize, item: Item) -> Self {
        Self { at, is_made: false, item }
    }

    const fn made(at: usize, item: Item) -> Self {
        Self { at, is_made: true, item }
    }
}

/// The view with the places that its items come from.
pub(crate) fn arrange(history: Vec<Item>) -> Vec<Arranged> {
    let calls = Calls::of(&history);
    let goes_on = goes_on(&history);
    let mut items: Vec<Option<Item>> = history.into_iter().map(Some).collect();
    let mut view: Vec<Arranged> = Vec::with_capacity(items.len());
    let mut run: Vec<usize> = Vec::new();
    for at in 0..items.len() {
        let Some(item) = items[at].take_if(|item| !matches!(item, Item::ToolResult { .. })) else {
            // Results stand behind their calls already, or are left out.
            calls.answer(&mut run, &mut items, &mut view);
            continue;
        };
        let Some(item) = sayable(item, goes_on[at]) else { continue };
        if let Item::ToolCall { name, arguments, .. } = item {
            run.push(at);
            let call_id = calls.id_at(at);
            view.push(Arranged::taken(at, Item::ToolCall { call_id, name, arguments }));
            continue;
        }
        calls.answer(&mut run, &mut items, &mut view);
        view.push(Arranged::taken(at, item));
    }
    calls.answer(&mut run, &mut items, &mut view);
    begin(&mut view);
    view
}

/// What is known of a history's calls.
struct Calls {
    /// The result of the call at a place.
    results: HashMap<usize, Option<usize>>,
    /// The id of the call at a place.
    ids: HashMap<usize, String>,
}

impl Calls {
    fn of(history: &[Item]) -> Self {
        let paired = pair_calls(history.iter());
        let id_of = |at: usize| match &history[at] {
            Item::ToolCall { call_id, .. } => call_id.as_str(),
            _ => "",
        };
        let known: BTreeSet<&str> = paired.iter().map(|one| id_of(one.call)).collect();
        let mut given: BTreeSet<String> = BTreeSet::new();
        let mut ids = HashMap::new();
        for one in &paired {
            let id = id_of(one.call);
            let mut own = id.to_owned();
            let mut number = 1_u64;
            while given.contains(&own) || (number > 1 && known.contains(own.as_str())) {
                number += 1;
                own = format!("{id}_{number}");
            }
            given.insert(own.clone());
            ids.insert(one.call, own);
        }
        Self { results: paired.into_iter().map(|one| (one.call, one.result)).collect(), ids }
    }

    fn id_at(&self, call: usize) -> String {
        self.ids.get(&call).cloned().unwrap_or_default()
    }

    /// Puts the results of a run of calls behind it: those there are in the order they came, then those that were made for it.
    fn answer(&self, run: &mut Vec<usize>, items: &mut [Option<Item>], view: &mut Vec<Arranged>) {
        let calls = std::mem::take(run);
        let result_of = |call: &usize| self.results.get(call).copied().flatten();
        let mut answered: Vec<(usize, usize)> =
            calls.iter().filter_map(|call| result_of(call).map(|result| (result, *call))).collect();
        answered.sort_unstable();
        for (at, call) in answered {
            if let Some(Item::ToolResult { parts, is_error, .. }) = items[at].take() {
                let parts = parts.into_iter().filter(says_something).collect();
                let item = Item::ToolResult { call_id: self.id_at(call), parts, is_error };
                view.push(Arranged::taken(at, item));
            }
        }
        for call in calls.iter().filter(|call| result_of(call).is_none()) {
            let at = view.last().map_or(*call, |last| last.at);
            let item =
                Item::ToolResult { call_id: self.id_at(*call), parts: vec![Part::text(INTERRUPTED)], is_error: true };
            view.push(Arranged::made(at, item));
        }
    }
}

/// Of each item, whether the model said something or called a tool behind it, with nothing but thoughts in between.
fn goes_on(history: &[Item]) -> Vec<bool> {
    let mut goes_on = vec![false; history.len()];
    let mut next = false;
    for (at, item) in history.iter().enumerate().rev() {
        goes_on[at] = next;
        next = match item {
            Item::ToolCall { .. } => true,
            Item::Message { role, parts } if parts.iter().any(says_something) => *role == Role::Assistant,
            // What says nothing stands between nothing.
            Item::Message { .. } | Item::Reasoning { .. } | Item::Other(_) => next,
            Item::ToolResult { .. } => false,
        };
    }
    goes_on
}

/// What can be said of an item that is no result; `None` for one that is left out.
fn sayable(item: Item, goes_on: bool) -> Option<Item> {
    match item {
        Item::Message { role, parts } => {
            let parts: Vec<Part> = parts.into_iter().filter(says_something).collect();
            (!parts.is_empty()).then_some(Item::Message { role, parts })
        }
        Item::Reasoning { ref text, ref signature, ref encrypted } => {
            let is_empty = text.trim().is_empty() && signature.is_none() && encrypted.is_none();
            (goes_on && !is_empty).then_some(item)
        }
        item => Some(item),
    }
}

/// Whether a part is more than white space.
pub(crate) fn says_something(part: &Part) -> bool {
    match part {
        Part::Text { text: Content::Inline(text) } => !text.trim().is_empty(),
        _ => true,
    }
}

/// Puts a message of the user before the model's words, if they are the first ones.
fn begin(view: &mut Vec<Arranged>) {
    let is_of_program =
        |item: &Item| matches!(item, Item::Message { role: Role::System | Role::Developer, .. } | Item::Other(_));
    let first = view.iter().position(|arranged| !is_of_program(&arranged.item));
    if let Some(first) = first.filter(|first| !matches!(view[*first].item, Item::Message { role: Role::User, .. })) {
        let at = view[first].at;
        view.insert(first, Arranged::made(at, Item::message(Role::User, BEGINS)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(id: &str) -> Item {
        Item::ToolCall { call_id: id.into(), name: "n".into(), arguments: json!({}) }
    }

    fn result(id: &str, text: &str) -> Item {
        Item::ToolResult { call_id: id.into(), parts: vec![Part::text(text)], is_error: false }
    }

    fn thought(text: &str) -> Item {
        Item::Reasoning { text: text.into(), signature: None, encrypted: None }
    }

    fn user(text: &str) -> Item {
        Item::message(Role::User, text)
    }

    fn model(text: &str) -> Item {
        Item::message(Role::Assistant, text)
    }

    fn interrupted(id: &str) -> Item {
        Item::ToolResult { call_id: id.into(), parts: vec![Part::text(INTERRUPTED)], is_error: true }
    }

    fn assert_view(history: Vec<Item>, expected: &[Item]) {
        let view = valid_history(history);
        assert_eq!(view, expected);
        assert_eq!(valid_history(view.clone()), view, "a view of a view is the same");
    }

    #[test]
    fn what_every_provider_takes_stays_as_it_is() {
        let history = vec![
            user("a"),
            thought("t"),
            call("1"),
            call("2"),
            result("2", "x"),
            result("1", "y"),
            model("b"),
            user("c"),
            user("d"),
            model("e"),
        ];
        assert_view(history.clone(), &history);
    }

    #[test]
    fn an_open_call_is_closed_behind_the_results_of_its_run() {
        let history = vec![user("a"), call("1"), call("2"), result("2", "x"), user("b"), call("3")];
        let expected = [
            user("a"),
            call("1"),
            call("2"),
            result("2", "x"),
            interrupted("1"),
            user("b"),
            call("3"),
            interrupted("3"),
        ];
        assert_view(history, &expected);
    }

    #[test]
    fn a_late_result_stands_behind_its_call() {
        let history = vec![user("a"), call("1"), model("b"), user("c"), call("2"), result("1", "x"), result("2", "y")];
        let expected = [user("a"), call("1"), result("1", "x"), model("b"), user("c"), call("2"), result("2", "y")];
        assert_view(history, &expected);
    }

    #[test]
    fn results_without_a_call_and_further_results_are_left_out() {
        let history = vec![user("a"), result("0", "?"), call("1"), result("1", "x"), result("1", "y"), model("b")];
        assert_view(history, &[user("a"), call("1"), result("1", "x"), model("b")]);
    }

    #[test]
    fn a_call_with_a_known_id_gets_one_of_its_own() {
        let history = vec![user("a"), call("1"), result("1", "x"), call("1_2"), call("1"), result("1", "y"), call("1")];
        let expected = [
            user("a"),
            call("1"),
            result("1", "x"),
            call("1_2"),
            call("1_3"),
            result("1_3", "y"),
            interrupted("1_2"),
            call("1_4"),
            interrupted("1_4"),
        ];
        assert_view(history, &expected);
    }

    #[test]
    fn a_thought_that_led_to_nothing_is_left_out() {
        let history = vec![user("a"), thought("cut"), user("b"), thought("t"), model(" "), call("1"), thought("end")];
        assert_view(history, &[user("a"), user("b"), thought("t"), call("1"), interrupted("1")]);
        assert_view(vec![user("a"), thought(""), model("b")], &[user("a"), model("b")]);
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let parts = vec![Part::text("\n"), Part::text("x")];
        let history = vec![user(""), user("a"), Item::Message { role: Role::Assistant, parts }, model(" \t")];
        assert_view(history, &[user("a"), model("x")]);
        assert_view(
            vec![user("a"), call("1"), result("1", "")],
            &[user("a"), call("1"), Item::ToolResult { call_id: "1".into(), parts: Vec::new(), is_error: false }],
        );
    }

    #[test]
    fn a_history_begins_with_the_user() {
        let system = Item::message(Role::System, "s");
        assert_view(vec![system.clone(), model("b")], &[system.clone(), user(BEGINS), model("b")]);
        assert_view(vec![call("1")], &[user(BEGINS), call("1"), interrupted("1")]);
        assert_view(vec![system.clone()], &[system]);
        assert_view(Vec::new(), &[]);
    }
}
