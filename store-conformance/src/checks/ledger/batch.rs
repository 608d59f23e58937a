//! Batches.

use store_core::ledger::{AccountKind, Draft, LedgerError, LedgerResult, Receipt};

use super::{Desk, account_of, home, transaction, transfer};
use crate::checks::fixture::{Works as _, holds, refused, same};
use crate::ledgers::LedgerHarness;
use crate::{Failure, Outcome};

fn batch(desk: &Desk<'_>, drafts: &[Draft]) -> Result<Vec<LedgerResult<Receipt>>, Failure> {
    desk.ledger().commit_batch(&home(), drafts).works("committing a batch")
}

/// The seqs of the answers; 0 for a refusal.
fn seqs(answers: &[LedgerResult<Receipt>]) -> Vec<u64> {
    answers.iter().map(|answer| answer.as_ref().map_or(0, |receipt| receipt.seq.0)).collect()
}

pub(crate) fn a_batch_answers_by_position(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let drafts = [3, 1, 2].map(|n| transfer(n, "a", "b", 5));
    let answers = batch(&desk, &drafts)?;
    let ids: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().map(|receipt| receipt.id)).collect();
    same("the ids", ids, [3, 1, 2].map(|n| Some(transaction(n))).to_vec())
}

pub(crate) fn one_bad_draft_leaves_the_others_whole(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let drafts = [transfer(1, "a", "b", 5), transfer(2, "a", "nobody", 5), transfer(3, "a", "c", 5)];
    same("the seqs", seqs(&batch(&desk, &drafts)?), vec![4, 0, 5])?;
    let found: Vec<u64> = desk.events(&home())?.iter().map(|event| event.seq.0).collect();
    same("the seqs that are read", found, vec![1, 2, 3, 4, 5])?;
    same("the balance", desk.balance("a", None)?, (10, 5))
}

pub(crate) fn a_batch_without_drafts_answers_nothing(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    same("the answers", batch(&desk, &[])?.len(), 0)?;
    same("how many events the book has", desk.count()?, 3)
}

pub(crate) fn a_batch_of_bad_drafts_writes_nothing(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let answers = batch(&desk, &[transfer(1, "a", "nobody", 5), transfer(2, "a", "b", 0)])?;
    same("the seqs", seqs(&answers), vec![0, 0])?;
    same("how many events the book has", desk.count()?, 3)
}

pub(crate) fn a_key_twice_in_a_batch_is_committed_once(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let drafts = [transfer(1, "a", "b", 5), transfer(2, "a", "b", 1), transfer(1, "a", "b", 5)];
    same("the seqs", seqs(&batch(&desk, &drafts)?), vec![4, 5, 4])?;
    same("the balance", desk.balance("a", None)?, (6, 5))
}

pub(crate) fn a_key_of_the_past_is_answered_in_a_batch(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    let drafts = [transfer(2, "a", "b", 1), transfer(1, "a", "b", 5)];
    same("the seqs", seqs(&batch(&desk, &drafts)?), vec![5, 4])
}

pub(crate) fn a_key_twice_in_a_batch_with_other_postings_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let mut answers = batch(&desk, &[transfer(1, "a", "b", 5), transfer(1, "a", "b", 6)])?;
    let last = answers.pop().unwrap_or(Err(LedgerError::ShutDown));
    refused!("the second use of the key", last, LedgerError::KeyReused { seq, .. } if seq.0 == 4)
}

pub(crate) fn the_key_of_a_bad_draft_is_free_within_the_batch(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let answers = batch(&desk, &[transfer(1, "a", "nobody", 5), transfer(1, "a", "b", 5)])?;
    same("the seqs", seqs(&answers), vec![0, 4])
}

pub(crate) fn an_id_twice_in_a_batch_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let mut second = transfer(2, "a", "b", 5);
    second.id = transaction(1);
    let mut answers = batch(&desk, &[transfer(1, "a", "b", 5), second])?;
    let last = answers.pop().unwrap_or(Err(LedgerError::ShutDown));
    refused!("the second use of the id", last, LedgerError::AlreadyExists { .. })
}

pub(crate) fn a_batch_is_judged_in_its_order(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.account(&account_of("purse", AccountKind::Asset, Some(0)))?;
    let drafts = [
        transfer(1, "a", "purse", 3),
        transfer(2, "purse", "a", 5),
        transfer(3, "a", "purse", 3),
        transfer(4, "a", "purse", 3),
        transfer(5, "a", "purse", 2),
    ];
    let answers = batch(&desk, &drafts)?;
    same("the seqs", seqs(&answers), vec![0, 5, 6, 0, 7])?;
    let told = |at: usize| matches!(answers[at], Err(LedgerError::BelowMinimum { .. }));
    holds("what is refused is told to be below the minimum", told(0) && told(3))?;
    same("the balance", desk.balance("purse", None)?, (0, 7))
}

pub(crate) fn a_large_batch_is_committed_whole(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let drafts: Vec<_> = (1..=250).map(|n| transfer(n, "a", "b", 1)).collect();
    let answers = batch(&desk, &drafts)?;
    same("the seqs", seqs(&answers), (4..254).collect())?;
    same("the balance", desk.balance("a", None)?, (250, 253))
}
