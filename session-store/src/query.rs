//! What a person types to find conversations: words, phrases, beginnings of words, and operators.
//!
//! ```text
//! build fail*  "exit code 1"  -docs  agent:codex  cwd:web  since:7d  -is:archived
//! ```
//!
//! One language for the search of texts and for the picker, so that what was learned in one works in the other. Parsing is
//! pure and never fails: who types has half an operator on the screen most of the time. What could not be understood is
//! said in [`Query::problems`], and whoever runs a query once, as a command does, refuses it for them.
//!
//! What a point in time is depends on a clock and a zone, which are the caller's: `since:` is read by a function that is
//! passed in.

use std::fmt;

use store_core::{SessionKind, TimestampMs};

use crate::index::SessionSummary;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The words and phrases; all of them have to be there, but for those that are excluded.
    pub terms: Vec<Term>,
    /// What else has to hold of the conversation.
    pub conditions: Vec<Condition>,
    /// What could not be understood, in the order in which it stands.
    pub problems: Vec<QueryProblem>,
}

/// A word or a phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// As it was typed, without quotes and star.
    pub text: String,
    /// Its last word may go on: `fail*`.
    pub prefix: bool,
    /// It must not be there: `-docs`.
    pub excluded: bool,
}

/// A condition on a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What has to hold.
    pub what: Field,
    /// It must not hold: `-agent:pi`.
    pub excluded: bool,
}

/// What a condition speaks of. Texts are compared whatever their case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `agent:` the agent's name begins so.
    Agent(String),
    /// `cwd:` the folder is this one or below it, if the value is an absolute path; else it has the value in it.
    Cwd(String),
    /// `branch:` the version-control branch has the value in it.
    Branch(String),
    /// `model:` the model's name has the value in it.
    Model(String),
    /// `tag:` one of the tags is this one.
    Tag(String),
    /// `since:` there is an entry at this time or later, in milliseconds since the epoch.
    Since(TimestampMs),
    /// `is:` the conversation is in this state.
    Is(State),
}

/// The states that `is:` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Somebody writes it now.
    Live,
    /// It continues another conversation.
    Fork,
    /// It goes on behind a compaction.
    Compacted,
    /// It is in the archive.
    Archived,
    /// Something of it cannot be read.
    Damaged,
    /// It is pinned.
    Pinned,
    /// A sub-agent wrote it.
    Subagent,
}

/// The names of the operators, as they are typed.
pub const OPERATORS: [&str; 7] = ["agent:", "cwd:", "branch:", "model:", "tag:", "since:", "is:"];

impl State {
    /// All states with their names.
    pub const ALL: [(&str, Self); 7] = [
        ("live", Self::Live),
        ("fork", Self::Fork),
        ("compacted", Self::Compacted),
        ("archived", Self::Archived),
        ("damaged", Self::Damaged),
        ("pinned", Self::Pinned),
        ("subagent", Self::Subagent),
    ];

    fn holds(self, row: &SessionSummary, history: History) -> bool {
        match self {
            Self::Live => row.live.writer().is_some(),
            Self::Fork => row.forked_from.is_some(),
            Self::Compacted => history == History::Compacted,
            Self::Archived => row.archived,
            Self::Damaged => row.damaged,
            Self::Pinned => row.pinned,
            Self::Subagent => row.kind == SessionKind::Subagent,
        }
    }
}

/// Whether the history of a conversation was cut short, which its row does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// Every segment goes on with all that was said before it.
    Whole,
    /// A segment goes on behind a compaction.
    Compacted,
}

impl History {
    /// Of a conversation that was compacted, or not.
    pub const fn of(compacted: bool) -> Self {
        if compacted { Self::Compacted } else { Self::Whole }
    }
}

/// Something in a query that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryProblem {
    /// An operator without a value.
    NoValue(&'static str),
    /// `is:` with a state that there is none of.
    UnknownState(String),
    /// `since:` with something that is no time; with the reader's words.
    BadTime(String),
}

impl fmt::Display for QueryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue(operator) => write!(f, "{operator} needs a value behind it"),
            Self::UnknownState(state) => {
                let names = State::ALL.map(|(name, _)| name).join(", ");
                write!(f, "is:{state} is no state of a conversation; there are {names}")
            }
            Self::BadTime(words) => f.write_str(words),
        }
    }
}

impl Query {
    /// Reads what was typed. `since` reads a point in time, or says in words why it cannot.
    pub fn parse(text: &str, since: &dyn Fn(&str) -> Result<TimestampMs, String>) -> Self {
        let mut query = Self::default();
        for token in tokens(text) {
            query.take(token, since);
        }
        query
    }

    /// Whether nothing is asked.
    pub const fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.conditions.is_empty()
    }

    /// Whether a row must have been asked [who writes](SessionSummary::look_for_writer) to be judged.
    pub fn asks_who_writes(&self) -> bool {
        self.conditions.iter().any(|condition| condition.what == Field::Is(State::Live))
    }

    /// Whether it has to be known of a row which conversations [were compacted](crate::index::Index::compacted_sessions) to be judged.
    pub fn asks_for_compactions(&self) -> bool {
        self.conditions.iter().any(|condition| condition.what == Field::Is(State::Compacted))
    }

    /// Whether all conditions hold of a conversation. Words are not looked at.
    pub fn admits(&self, row: &SessionSummary, history: History) -> bool {
        self.conditions.iter().all(|condition| condition.holds(row, history))
    }

    fn take(&mut self, token: Token, since: &dyn Fn(&str) -> Result<TimestampMs, String>) {
        let Token { excluded, operator, text, prefix } = token;
        let Some(operator) = operator else {
            self.terms.push(Term { text, prefix, excluded });
            return;
        };
        let text = if prefix { format!("{text}*") } else { text };
        match field(operator, text, since) {
            Ok(what) => self.conditions.push(Condition { what, excluded }),
            Err(problem) => self.problems.push(problem),
        }
    }
}

fn field(
    operator: &'static str,
    value: String,
    since: &dyn Fn(&str) -> Result<TimestampMs, String>,
) -> Result<Field, QueryProblem> {
    if value.is_empty() {
        return Err(QueryProblem::NoValue(operator));
    }
    Ok(match operator {
        "agent:" => Field::Agent(value),
        "cwd:" => Field::Cwd(value),
        "branch:" => Field::Branch(value),
        "model:" => Field::Model(value),
        "tag:" => Field::Tag(value),
        "since:" => Field::Since(since(&value).map_err(QueryProblem::BadTime)?),
        _ => {
            let state = State::ALL.iter().find(|(name, _)| *name == value.to_lowercase());
            Field::Is(state.map(|(_, state)| *state).ok_or(QueryProblem::UnknownState(value))?)
        }
    })
}

impl Condition {
    fn holds(&self, row: &SessionSummary, history: History) -> bool {
        let has = |text: &Option<String>, value: &str| {
            text.as_ref().is_some_and(|text| text.to_lowercase().contains(&value.to_lowercase()))
        };
        let holds = match &self.what {
            Field::Agent(agent) => {
                row.agent.as_ref().is_some_and(|of| of.to_lowercase().starts_with(&agent.to_lowercase()))
            }
            Field::Cwd(folder) if folder.starts_with('/') => {
                let stem = folder.trim_end_matches('/');
                let below = |path: &String| {
                    path.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                row.cwd.as_ref().is_some_and(below)
            }
            Field::Cwd(part) => has(&row.cwd, part),
            Field::Branch(part) => has(&row.branch, part),
            Field::Model(part) => has(&row.model, part),
            Field::Tag(tag) => row.tags.iter().any(|of| of.to_lowercase() == tag.to_lowercase()),
            Field::Since(ms) => row.updated_at >= *ms,
            Field::Is(state) => state.holds(row, history),
        };
        holds != self.excluded
    }
}

/// A piece of a query between spaces.
struct Token {
    excluded: bool,
    operator: Option<&'static str>,
    /// Without quotes.
    text: String,
    prefix: bool,
}

/// Splits a query at spaces that stand outside of quotes. A quote that is not closed goes to the end.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (token, behind) = token(rest);
        // A lone hyphen, star or pair of quotes says nothing.
        if token.operator.is_some() || !token.text.trim_matches([' ', '-', '*', '"']).is_empty() {
            tokens.push(token);
        }
        rest = behind.trim_start();
    }
    tokens
}

fn token(text: &str) -> (Token, &str) {
    let (excluded, text) = match text.strip_prefix('-') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(char::is_whitespace) => (true, rest),
        _ => (false, text),
    };
    let operator = OPERATORS.into_iter().find(|name| starts_with_any_case(text, name));
    let text = operator.map_or(text, |name| &text[name.len()..]);
    let (said, behind) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
        None => text.split_at(text.find(char::is_whitespace).unwrap_or(text.len())),
    };
    // The star behind a phrase stands outside of its quotes.
    let (said, behind, prefix) = match (said.strip_suffix('*'), behind.strip_prefix('*')) {
        (Some(stem), _) if !text.starts_with('"') => (stem, behind, true),
        (_, Some(behind)) if text.starts_with('"') => (said, behind, true),
        _ => (said, behind, false),
    };
    (Token { excluded, operator, text: said.to_owned(), prefix }, behind)
}

fn starts_with_any_case(text: &str, name: &str) -> bool {
    text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Query {
        Query::parse(text, &|value| value.strip_suffix('d').and_then(|days| days.parse().ok()).ok_or("no time".into()))
    }

    fn term(text: &str) -> Term {
        Term { text: text.to_owned(), prefix: false, excluded: false }
    }

    fn condition(what: Field) -> Condition {
        Condition { what, excluded: false }
    }

    #[test]
    fn words_phrases_beginnings_and_exclusions_are_told_apart() {
        let terms = parse("build fail* \"exit code\" \"new li\"* -docs -\"old way\"").terms;
        let expected = [
            term("build"),
            Term { prefix: true, ..term("fail") },
            term("exit code"),
            Term { prefix: true, ..term("new li") },
            Term { excluded: true, ..term("docs") },
            Term { excluded: true, ..term("old way") },
        ];
        assert_eq!(terms, expected);
    }

    #[test]
    fn operators_become_conditions_whatever_their_case() {
        let query = parse("Agent:codex cwd:\"my web\" -branch:main model:opus tag:x since:7d is:LIVE");
        let expected = [
            condition(Field::Agent("codex".into())),
            condition(Field::Cwd("my web".into())),
            Condition { excluded: true, ..condition(Field::Branch("main".into())) },
            condition(Field::Model("opus".into())),
            condition(Field::Tag("x".into())),
            condition(Field::Since(7)),
            condition(Field::Is(State::Live)),
        ];
        assert_eq!(query.conditions, expected);
        assert_eq!((query.terms, query.problems), (vec![], vec![]));
    }

    #[test]
    fn what_is_no_operator_is_a_word() {
        let words: Vec<String> =
            parse("https://x.org a:b - * \"\" is").terms.into_iter().map(|term| term.text).collect();
        assert_eq!(words, ["https://x.org", "a:b", "is"]);
    }

    #[test]
    fn what_is_half_typed_is_a_problem_and_nothing_else() {
        let query = parse("agent: is:li since:soon \"open quote");
        let problems = [
            QueryProblem::NoValue("agent:"),
            QueryProblem::UnknownState("li".into()),
            QueryProblem::BadTime("no time".into()),
        ];
        assert_eq!(query.problems, problems);
        assert_eq!(query.terms, [term("open quote")]);
        assert!(query.conditions.is_empty());
        assert!(query.problems[1].to_string().contains("live, fork"), "{}", query.problems[1]);
    }
}
