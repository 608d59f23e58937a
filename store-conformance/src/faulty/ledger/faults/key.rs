//! Faults of idempotency keys and ids.

use std::sync::atomic::Ordering;

use store_core::Seq;
use store_core::ledger::LedgerError::{AlreadyExists, KeyReused, Overflow, UnknownAccount};
use store_core::ledger::{Draft, Ledger as _, LedgerResult, Receipt};

use super::super::FaultyLedger;
use super::super::handle::{Handle, Rules};
use super::{fault, known, made_up, opened, renamed};

/// In the order of the contract.
pub(super) const LEDGERS: &[FaultyLedger] = &[
    fault!("a_repeated_key_answers_with_the_present_time", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let repeated = known(at, book, draft).is_some();
        let receipt = at.inner.commit(book, draft)?;
        Ok(if repeated { Receipt { at: (at.clock)(), ..receipt } } else { receipt })
    })),
    fault!("a_repeated_key_answers_with_the_new_id", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        at.inner.commit(book, draft).map(|receipt| Receipt { id: draft.id, ..receipt })
    })),
    fault!("amounts_of_a_known_key_are_not_compared", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(KeyReused { key, seq }) => match known(at, book, draft) {
                Some((receipt, first))
                    if first.postings.iter().zip(&draft.postings).all(|(one, other)| {
                        one.account == other.account && one.side == other.side
                    }) => Ok(receipt),
                _ => Err(KeyReused { key, seq }),
            },
            answer => answer,
        }
    })),
    fault!("accounts_of_a_known_key_are_not_compared", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(KeyReused { key, seq }) => match known(at, book, draft) {
                Some((receipt, first)) if first.postings[0].amount == draft.postings[0].amount => Ok(receipt),
                _ => Err(KeyReused { key, seq }),
            },
            answer => answer,
        }
    })),
    fault!("a_repetition_is_judged_again", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        if known(at, book, draft).is_some() {
            let largest = draft.postings.iter().find(|posting| posting.amount == i64::MAX);
            if let Some(posting) = largest {
                return Err(Overflow { account: posting.account.clone() });
            }
        }
        at.inner.commit(book, draft)
    })),
    fault!("the_key_of_a_refused_transaction_is_used_up", commit: |at, book, drafts| {
        let mut answers = Vec::new();
        for (n, draft) in drafts.iter().enumerate() {
            let hash = draft.key.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) | 1;
            let tried_before = drafts[..n].iter().any(|other| other.key == draft.key && answers[n - 1..].iter().any(LedgerResult::is_err));
            if (at.notes.load(Ordering::SeqCst) == hash || tried_before) && known(at, book, draft).is_none() {
                answers.push(Err(KeyReused { key: draft.key.clone(), seq: Seq(0) }));
                continue;
            }
            let answer: LedgerResult<Receipt> = at.inner.commit(book, draft);
            if matches!(answer, Err(UnknownAccount { .. })) {
                at.notes.store(hash, Ordering::SeqCst);
            }
            answers.push(answer);
        }
        Ok(answers)
    }),
    fault!("a_key_is_known_in_every_book", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        for other in at.inner.list_books()?.iter().filter(|other| *other != book) {
            if let Some((receipt, first)) = known(at, other, draft)
                && first.id != draft.id
            {
                return Err(KeyReused { key: draft.key.clone(), seq: receipt.seq });
            }
        }
        at.inner.commit(book, draft)
    })),
    fault!("an_id_is_known_in_its_own_book_only", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(AlreadyExists { what }) if at.drafts(book).iter().any(|(_, known)| known.id == draft.id) => {
                Err(AlreadyExists { what })
            }
            Err(AlreadyExists { .. }) => Ok(made_up(at, book, draft)),
            answer => answer,
        }
    })),
    fault!("accounts_are_looked_at_before_the_id", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let unknown = draft.postings.iter().find(|posting| opened(at, &posting.account).is_none());
        match at.inner.commit(book, draft) {
            Err(AlreadyExists { what }) => Err(match unknown {
                Some(posting) => UnknownAccount { account: posting.account.clone() },
                None => AlreadyExists { what },
            }),
            answer => answer,
        }
    })),
    fault!("keys_are_cut_at_1024_bytes", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let key = draft.key.chars().take(1024).collect();
        at.inner.commit(book, &Draft { key, ..draft.clone() })
    })),
    fault!("keys_are_compared_without_case", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        at.inner.commit(book, &Draft { key: draft.key.to_lowercase(), ..draft.clone() })
    })),
    fault!("keys_are_forgotten_with_the_handle", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        let Some((receipt, first)) = known(at, book, draft).filter(|_| at.reopened > 0 && drafts.len() == 1) else {
            return at.inner.commit(book, draft);
        };
        // The first commit of a handle alone is given another key, so that other rules hold as before.
        if at.notes.fetch_add(1, Ordering::SeqCst) > 0 || first.postings.len() != draft.postings.len() {
            return Ok(receipt);
        }
        at.inner.commit(book, &renamed(draft, " anew"))
    })),
    fault!("ids_are_forgotten_with_the_handle", commit: |at, book, drafts| Handle::each(drafts, |draft| {
        match at.inner.commit(book, draft) {
            Err(AlreadyExists { .. }) if at.reopened > 0 => Ok(made_up(at, book, draft)),
            answer => answer,
        }
    })),
    fault!("a_hundred_keys_are_remembered", commit: |at, book, drafts| {
        if at.drafts(book).len() < 120 {
            return at.inner.commit_batch(book, drafts);
        }
        Handle::each(drafts, |draft| match known(at, book, draft) {
            Some((receipt, _)) if receipt.seq.0 < 50 => at.inner.commit(book, &renamed(draft, " anew")),
            _ => at.inner.commit(book, draft),
        })
    }),
];
