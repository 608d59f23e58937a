//! The text of an event: what a line of a book's log, or a row of a table, holds.
//!
//! ```text
//! {"kind":"asset","at":1764000000000000,"asset":"USD","precision":9}
//! {"kind":"account","at":1764000000000000,"account":"cash","asset":"USD","type":"asset","min_balance":0}
//! {"kind":"transaction","at":1764000000000001,"id":"019a…","postings":[{"account":"cash","debit":5},{"account":"fees","credit":5}]}
//! ```
//!
//! An account is named by its path alone: a text belongs to one book. A transaction's idempotency key stands beside its text, where
//! the line or row has a place for keys. `min_balance`, `effective_at` and `meta` are left out where there are none. A kind that this version does not
//! know is an error: a balance that leaves out what it cannot read would be wrong.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::{LedgerError, LedgerResult};
use super::names::{AccountId, AssetId, BookName};
use super::types::{Account, AccountKind, Asset, Draft, Event, EventBody, Posting, Side, TimestampUs};
use crate::id::{Seq, TransactionId};

/// The kinds of events.
// Persisted: never rename.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// [`EventBody::AssetRegistered`].
    Asset,
    /// [`EventBody::AccountOpened`].
    Account,
    /// [`EventBody::Transaction`].
    Transaction,
}

impl EventKind {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asset => "asset",
            Self::Account => "account",
            Self::Transaction => "transaction",
        }
    }
}

/// An event's text, taken apart and not yet checked: one shape for all kinds, so that a log is read without building a tree of each line.
// Persisted: never rename a field.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventText<'a> {
    /// What happened.
    pub kind: EventKind,
    /// When it was committed.
    pub at: TimestampUs,
    /// The account that was opened.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Cow<'a, str>>,
    /// The asset that was registered, or that the account counts.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Cow<'a, str>>,
    /// What the account stands for.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub account_kind: Option<AccountKind>,
    /// The least that the account may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_balance: Option<i64>,
    /// How finely the asset is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<u8>,
    /// The transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TransactionId>,
    /// Its postings.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub postings: Vec<PostingText<'a>>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<TimestampUs>,
    /// What else is remembered of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
}

/// A posting's text: one of the two amounts.
// Persisted: never rename a field.
#[derive(Debug, Serialize, Deserialize)]
pub struct PostingText<'a> {
    /// The account's path.
    #[serde(borrow)]
    pub account: Cow<'a, str>,
    /// The amount, if it is a debit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debit: Option<i64>,
    /// The amount, if it is a credit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<i64>,
}

impl PostingText<'_> {
    /// The side and the amount; `None` if it has not one of them.
    pub fn amount(&self) -> Option<(Side, i64)> {
        match (self.debit, self.credit) {
            (Some(amount), None) => Some((Side::Debit, amount)),
            (None, Some(amount)) => Some((Side::Credit, amount)),
            _ => None,
        }
    }
}

impl EventText<'_> {
    const fn new(kind: EventKind, at: TimestampUs) -> Self {
        Self {
            kind,
            at,
            account: None,
            asset: None,
            account_kind: None,
            min_balance: None,
            precision: None,
            id: None,
            postings: Vec::new(),
            effective_at: None,
            meta: BTreeMap::new(),
        }
    }
}

/// The text of what happened at a time.
///
/// # Errors
/// None that a caller can bring about: every value has a text.
pub fn encode(at: TimestampUs, body: &EventBody) -> LedgerResult<String> {
    let text = match body {
        EventBody::AssetRegistered(asset) => EventText {
            asset: Some(asset.id.as_str().into()),
            precision: Some(asset.precision),
            ..EventText::new(EventKind::Asset, at)
        },
        EventBody::AccountOpened(account) => EventText {
            account: Some(account.id.path().into()),
            asset: Some(account.asset.as_str().into()),
            account_kind: Some(account.kind),
            min_balance: account.min_balance,
            ..EventText::new(EventKind::Account, at)
        },
        EventBody::Transaction(draft) => return encode_transaction(at, draft),
    };
    serialize(&text)
}

/// The text of a transaction.
///
/// # Errors
/// As [`encode`].
pub fn encode_transaction(at: TimestampUs, draft: &Draft) -> LedgerResult<String> {
    serialize(&EventText {
        id: Some(draft.id),
        postings: draft.postings.iter().map(text_of).collect(),
        effective_at: draft.effective_at,
        meta: draft.meta.clone(),
        ..EventText::new(EventKind::Transaction, at)
    })
}

fn text_of(posting: &Posting) -> PostingText<'_> {
    let (debit, credit) = match posting.side {
        Side::Debit => (Some(posting.amount), None),
        Side::Credit => (None, Some(posting.amount)),
    };
    PostingText { account: posting.account.path().into(), debit, credit }
}

/// How the text of a transaction begins, up to its commit time.
const TRANSACTION_OPEN: &str = r#"{"kind":"transaction","at":"#;

/// Puts another commit time into the text that [`encode_transaction`] made of a transaction: it is known last.
pub fn set_transaction_time(text: &mut String, at: TimestampUs) {
    let Some(rest) = text.strip_prefix(TRANSACTION_OPEN) else { return };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    text.replace_range(TRANSACTION_OPEN.len()..TRANSACTION_OPEN.len() + digits, &at.to_string());
}

fn serialize(text: &EventText<'_>) -> LedgerResult<String> {
    serde_json::to_string(text).map_err(|error| crate::error::StoreError::backend(error).into())
}

/// Takes a text apart.
///
/// # Errors
/// `Damaged` for what is no event that this version knows.
pub fn parse<'a>(book: &BookName, seq: Seq, text: &'a str) -> LedgerResult<EventText<'a>> {
    serde_json::from_str(text).map_err(|error| damaged(book, seq, error.to_string()))
}

/// The event of a text.
///
/// # Errors
/// `Damaged` for what is no event that this version knows.
pub fn decode(book: &BookName, seq: Seq, key: Option<&str>, text: &str) -> LedgerResult<Event> {
    let text = parse(book, seq, text)?;
    let at = text.at;
    let body = body(book, key, text).ok_or_else(|| damaged(book, seq, "the event lacks something"))?;
    Ok(Event { book: book.clone(), seq, at, body })
}

fn body(book: &BookName, key: Option<&str>, text: EventText<'_>) -> Option<EventBody> {
    Some(match text.kind {
        EventKind::Asset => {
            EventBody::AssetRegistered(Asset { id: text.asset?.parse().ok()?, precision: text.precision? })
        }
        EventKind::Account => EventBody::AccountOpened(account(book, &text)?),
        EventKind::Transaction => {
            let postings = text.postings.iter().map(|posting| posting_of(book, posting)).collect::<Option<_>>()?;
            EventBody::Transaction(Draft {
                id: text.id?,
                key: key?.to_owned(),
                postings,
                effective_at: text.effective_at,
                meta: text.meta,
            })
        }
    })
}

/// The account that a text says was opened.
pub fn account(book: &BookName, text: &EventText<'_>) -> Option<Account> {
    Some(Account {
        id: AccountId::new(book, text.account.as_deref()?).ok()?,
        asset: text.asset.as_deref()?.parse::<AssetId>().ok()?,
        kind: text.account_kind?,
        min_balance: text.min_balance,
    })
}

fn posting_of(book: &BookName, text: &PostingText<'_>) -> Option<Posting> {
    let (side, amount) = text.amount()?;
    Some(Posting { account: AccountId::new(book, &text.account).ok()?, side, amount })
}

/// The error of an event that is not as it was written.
pub fn damaged(book: &BookName, seq: Seq, detail: impl Into<String>) -> LedgerError {
    LedgerError::Damaged { book: book.clone(), seq, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<(Option<&'static str>, EventBody)> {
        let book: BookName = "home".parse().unwrap();
        let account = |path| AccountId::new(&book, path).unwrap();
        let asset: AssetId = "USD".parse().unwrap();
        let mut draft = Draft::new(
            TransactionId::derive(1_764_000_000_000, b"t"),
            "request-1",
            vec![Posting::debit(account("a \"b\""), 5), Posting::credit(account("fees:x"), 5)],
        );
        let plain = draft.clone();
        draft.effective_at = Some(1_763_999_999_999_999);
        draft.meta.insert("model".to_owned(), "m-1".to_owned());
        vec![
            (None, EventBody::AssetRegistered(Asset { id: asset.clone(), precision: 9 })),
            (
                None,
                EventBody::AccountOpened(Account {
                    id: account("a \"b\""),
                    asset: asset.clone(),
                    kind: AccountKind::Asset,
                    min_balance: Some(-3),
                }),
            ),
            (
                None,
                EventBody::AccountOpened(Account {
                    id: account("fees:x"),
                    asset,
                    kind: AccountKind::Clearing,
                    min_balance: None,
                }),
            ),
            (Some("request-1"), EventBody::Transaction(plain)),
            (Some("request-1"), EventBody::Transaction(draft)),
        ]
    }

    #[test]
    fn the_texts_of_events_are_the_documented_ones_and_come_back() {
        let book: BookName = "home".parse().unwrap();
        let mut texts = Vec::new();
        for (seq, (key, body)) in (1..).zip(events()) {
            let text = encode(1_764_000_000_000_001, &body).unwrap();
            let event = decode(&book, Seq(seq), key, &text).unwrap();
            assert_eq!(event, Event { book: book.clone(), seq: Seq(seq), at: 1_764_000_000_000_001, body });
            texts.push(text);
        }
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn a_transaction_whose_time_is_put_in_later_has_the_same_text() {
        for (_, body) in events() {
            let EventBody::Transaction(draft) = body else { continue };
            for (first, at) in [(0, 1_764_000_000_000_001), (9, 10), (1_764_000_000_000_001, 7), (5, u64::MAX)] {
                let mut text = encode_transaction(first, &draft).unwrap();
                set_transaction_time(&mut text, at);
                assert_eq!(text, encode_transaction(at, &draft).unwrap());
            }
        }
    }

    #[test]
    fn what_is_no_event_is_damage() {
        let book: BookName = "home".parse().unwrap();
        let id = TransactionId::derive(1, b"t");
        for text in [
            "{}".to_owned(),
            r#"{"kind":"newer","at":1}"#.to_owned(),
            r#"{"kind":"asset","at":1}"#.to_owned(),
            format!(r#"{{"kind":"transaction","at":1,"id":"{id}","postings":[{{"account":"a"}}]}}"#),
            format!(
                r#"{{"kind":"transaction","at":1,"id":"{id}","postings":[{{"account":"a","debit":1,"credit":1}}]}}"#
            ),
        ] {
            let decoded = decode(&book, Seq(7), Some("k"), &text);
            assert!(matches!(decoded, Err(LedgerError::Damaged { seq: Seq(7), .. })), "{text}: {decoded:?}");
        }
    }
}
