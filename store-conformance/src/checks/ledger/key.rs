//! Idempotency keys and ids of transactions.

use store_core::ledger::{Account, LedgerError, Posting};

use super::{Desk, NOON, away, clearing, draft_of, home, id, in_book, transaction, transfer};
use crate::checks::fixture::{Works as _, refused, same};
use crate::ledgers::LedgerHarness;
use crate::{Failure, Outcome};

/// A desk with the accounts `a` and `b` in the other book too.
fn with_two_books(harness: &dyn LedgerHarness) -> Result<Desk<'_>, Failure> {
    let desk = Desk::new(harness)?;
    for path in ["a", "b"] {
        desk.account(&Account { id: in_book(&away(), path), ..clearing(path) })?;
    }
    Ok(desk)
}

pub(crate) fn a_repeated_key_answers_with_the_first_receipt(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let first = desk.commit(&transfer(1, "a", "b", 5))?;
    desk.commit(&transfer(2, "a", "b", 6))?;
    desk.set_clock(NOON + 9);
    same("the receipt of the repetition", desk.commit(&transfer(1, "a", "b", 5))?, first)?;
    same("how many events the book has", desk.count()?, 5)
}

pub(crate) fn a_key_is_looked_at_before_the_id(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let first = desk.commit(&transfer(1, "a", "b", 5))?;
    let mut again = transfer(1, "a", "b", 5);
    again.id = transaction(2);
    again.meta.insert("try".to_owned(), "2".to_owned());
    same("the receipt of a repetition with a new id", desk.commit(&again)?, first)
}

pub(crate) fn a_key_with_another_amount_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let first = desk.commit(&transfer(1, "a", "b", 5))?;
    refused!(
        "a known key with another amount",
        desk.try_commit(&transfer(1, "a", "b", 6)),
        LedgerError::KeyReused { seq, .. } if *seq == first.seq
    )
}

pub(crate) fn a_key_with_other_accounts_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    refused!(
        "a known key with another account",
        desk.try_commit(&transfer(1, "a", "c", 5)),
        LedgerError::KeyReused { .. }
    )?;
    refused!(
        "a known key with the sides exchanged",
        desk.try_commit(&transfer(1, "b", "a", 5)),
        LedgerError::KeyReused { .. }
    )
}

pub(crate) fn a_known_key_does_not_ask_whether_it_could_be_committed(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let first = desk.commit(&transfer(1, "a", "b", i64::MAX))?;
    same("the receipt of what would overflow now", desk.commit(&transfer(1, "a", "b", i64::MAX))?, first)
}

pub(crate) fn the_key_of_a_refused_transaction_is_free(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let _refused = desk.try_commit(&transfer(1, "a", "nobody", 5));
    desk.commit(&transfer(1, "a", "b", 5)).map(drop)
}

pub(crate) fn a_key_belongs_to_its_book(harness: &dyn LedgerHarness) -> Outcome {
    let desk = with_two_books(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    let postings = vec![Posting::debit(in_book(&away(), "a"), 6), Posting::credit(in_book(&away(), "b"), 6)];
    let mut draft = draft_of(1, postings);
    draft.id = transaction(2);
    desk.ledger().commit(&away(), &draft).works("committing with a key of another book").map(drop)
}

pub(crate) fn a_known_id_is_refused_in_any_book(harness: &dyn LedgerHarness) -> Outcome {
    let desk = with_two_books(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    let mut same_book = transfer(2, "a", "b", 5);
    same_book.id = transaction(1);
    refused!("a known id", desk.try_commit(&same_book), LedgerError::AlreadyExists { .. })?;
    let postings = vec![Posting::debit(in_book(&away(), "a"), 6), Posting::credit(in_book(&away(), "b"), 6)];
    refused!(
        "an id that another book knows",
        desk.ledger().commit(&away(), &draft_of(1, postings)),
        LedgerError::AlreadyExists { .. }
    )
}

pub(crate) fn a_known_id_is_told_before_an_unknown_account(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    let mut draft = transfer(2, "a", "nobody", 5);
    draft.id = transaction(1);
    refused!("a known id", desk.try_commit(&draft), LedgerError::AlreadyExists { .. })
}

pub(crate) fn an_idempotency_key_has_1_to_1024_bytes(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    for bytes in [0, 1025] {
        let mut draft = transfer(1, "a", "b", 5);
        draft.key = "k".repeat(bytes);
        refused!("a key of that length", desk.try_commit(&draft), LedgerError::InvalidTransaction { .. })?;
    }
    let mut draft = transfer(1, "a", "b", 5);
    draft.key = "k".repeat(1024);
    desk.commit(&draft).map(drop)
}

pub(crate) fn hostile_keys_of_transactions_are_kept_apart(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let keys = ["a", "A", "a\"", "a\\", "a\n", "a\u{0}", "é", "e\u{301}", " a", "{\"seq\":1}", "key:a"];
    for (n, key) in (1..).zip(keys) {
        let mut draft = transfer(n, "a", "b", i64::try_from(n).unwrap_or(1));
        draft.key = key.to_owned();
        desk.commit(&draft)?;
    }
    for (n, key) in (1..).zip(keys) {
        let mut draft = transfer(n, "a", "b", i64::try_from(n).unwrap_or(1));
        draft.key = key.to_owned();
        same(&format!("the seq of {key:?}"), desk.commit(&draft)?.seq.0, n + 3)?;
    }
    Ok(())
}

pub(crate) fn keys_of_transactions_are_remembered_after_a_reopen(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    let first = desk.commit(&transfer(1, "a", "b", 5))?;
    desk.reopen()?;
    same("the receipt of the repetition", desk.commit(&transfer(1, "a", "b", 5))?, first)?;
    refused!(
        "a known key with another amount",
        desk.try_commit(&transfer(1, "a", "b", 6)),
        LedgerError::KeyReused { .. }
    )
}

pub(crate) fn ids_of_transactions_are_remembered_after_a_reopen(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    desk.reopen()?;
    let mut draft = transfer(2, "a", "b", 5);
    draft.id = transaction(1);
    refused!("a known id", desk.ledger().commit(&home(), &draft), LedgerError::AlreadyExists { .. })
}

pub(crate) fn many_keys_are_remembered(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::new(harness)?;
    let drafts: Vec<_> = (1..=150).map(|n| transfer(n, "a", "b", 1)).collect();
    let first = desk.ledger().commit_batch(&home(), &drafts).works("committing a batch")?;
    desk.reopen()?;
    let again = desk.ledger().commit_batch(&home(), &drafts).works("committing the batch again")?;
    let seqs = |receipts: Vec<store_core::ledger::LedgerResult<store_core::ledger::Receipt>>| {
        receipts.into_iter().map(|receipt| receipt.map_or(0, |receipt| receipt.seq.0)).collect::<Vec<_>>()
    };
    same("the seqs", seqs(again), seqs(first))?;
    same("the balance", desk.balance("a", None)?, (150, 153))?;
    let unknown = vec![Posting::debit(id("a"), 1), Posting::credit(id("b"), 1)];
    same("the seq of a new key", desk.commit(&draft_of(151, unknown))?.seq.0, 154)
}
