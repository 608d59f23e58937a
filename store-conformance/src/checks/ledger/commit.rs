//! What a transaction may be, and what it does.

use store_core::Seq;
use store_core::ledger::{Account, AccountKind, BookName, LedgerError, Posting};

use super::{Desk, NOON, account_of, away, clearing, draft_of, eur, home, id, in_book, transaction, transfer, usd};
use crate::Outcome;
use crate::checks::fixture::{Works as _, refused, same};
use crate::ledgers::LedgerHarness;

pub(crate) fn a_transaction_moves_an_amount(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", 5))?;
    desk.commit(&transfer(2, "a", "c", 2))?;
    let balances = ["a", "b", "c"].map(|path| desk.balance(path, None));
    let [a, b, c] = balances;
    same("the balances, and what changed them", [a?, b?, c?], [(7, 5), (-5, 4), (-2, 5)])
}

pub(crate) fn balances_count_on_the_normal_side(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let kinds = [
        ("asset", AccountKind::Asset, 5),
        ("expense", AccountKind::Expense, 5),
        ("clearing", AccountKind::Clearing, 5),
        ("liability", AccountKind::Liability, -5),
        ("income", AccountKind::Income, -5),
        ("equity", AccountKind::Equity, -5),
    ];
    for (n, (path, kind, _)) in (1..).zip(kinds) {
        desk.account(&account_of(path, kind, None))?;
        desk.commit(&transfer(n, path, "a", 5))?;
    }
    for (path, _, expected) in kinds {
        same(&format!("the balance of a debited account of kind {path}"), desk.balance(path, None)?.0, expected)?;
    }
    Ok(())
}

pub(crate) fn a_receipt_tells_where_the_transaction_stands(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let receipt = desk.commit(&transfer(1, "a", "b", 5))?;
    same("the receipt", (receipt.id, receipt.seq, receipt.at), (transaction(1), Seq(4), NOON))
}

pub(crate) fn an_unbalanced_transaction_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let postings = vec![Posting::debit(id("a"), 5), Posting::credit(id("b"), 4)];
    refused!(
        "a transaction whose sides differ",
        desk.try_commit(&draft_of(1, postings)),
        LedgerError::Unbalanced { asset, debits: 5, credits: 4 } if *asset == usd().id
    )
}

pub(crate) fn a_transaction_balances_in_each_asset(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    for path in ["x", "y"] {
        desk.account(&Account { asset: eur().id, ..clearing(path) })?;
    }
    let crossed = vec![Posting::debit(id("a"), 5), Posting::credit(id("x"), 5)];
    refused!(
        "a transaction that debits one asset and credits another",
        desk.try_commit(&draft_of(1, crossed)),
        LedgerError::Unbalanced { asset, debits: 0, credits: 5 } if *asset == eur().id
    )?;
    let both = vec![
        Posting::debit(id("a"), 5),
        Posting::debit(id("x"), 7),
        Posting::credit(id("b"), 5),
        Posting::credit(id("y"), 7),
    ];
    desk.commit(&draft_of(2, both))?;
    same("the balances", (desk.balance("b", None)?.0, desk.balance("x", None)?.0), (-5, 7))
}

pub(crate) fn an_account_may_be_posted_to_twice(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let postings = vec![
        Posting::debit(id("a"), 5),
        Posting::debit(id("a"), 2),
        Posting::credit(id("b"), 6),
        Posting::credit(id("a"), 1),
    ];
    desk.commit(&draft_of(1, postings))?;
    same("the balances", (desk.balance("a", None)?, desk.balance("b", None)?), ((6, 4), (-6, 4)))
}

pub(crate) fn a_transaction_without_postings_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    refused!(
        "a transaction without postings",
        desk.try_commit(&draft_of(1, Vec::new())),
        LedgerError::InvalidTransaction { .. }
    )
}

pub(crate) fn an_amount_below_one_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    for amount in [0, -1, i64::MIN] {
        refused!(
            "an amount below 1",
            desk.try_commit(&transfer(1, "a", "b", amount)),
            LedgerError::InvalidTransaction { .. }
        )?;
    }
    Ok(())
}

pub(crate) fn a_posting_to_an_unknown_account_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    refused!(
        "a posting to an account that nobody opened",
        desk.try_commit(&transfer(1, "a", "nobody", 5)),
        LedgerError::UnknownAccount { account } if *account == id("nobody")
    )
}

pub(crate) fn a_posting_to_another_book_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let other = in_book(&away(), "b");
    desk.account(&Account { id: other.clone(), ..clearing("b") })?;
    refused!(
        "a posting to an account of another book",
        desk.try_commit(&draft_of(1, vec![Posting::debit(id("a"), 5), Posting::credit(other, 5)])),
        LedgerError::InvalidTransaction { .. }
    )
}

pub(crate) fn a_commit_to_the_reserved_book_is_refused_first(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    refused!(
        "a transaction without postings in the reserved book",
        desk.ledger().commit(&BookName::system(), &draft_of(1, Vec::new())),
        LedgerError::ReservedBook { .. }
    )
}

pub(crate) fn an_overflow_is_refused_before_anything_is_written(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", i64::MAX))?;
    refused!(
        "a transaction that makes a balance overflow",
        desk.try_commit(&transfer(2, "a", "c", 1)),
        LedgerError::Overflow { account } if *account == id("a")
    )?;
    same("the balances", (desk.balance("a", None)?, desk.balance("c", None)?), ((i64::MAX, 4), (0, 0)))
}

pub(crate) fn the_largest_balances_are_held(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.commit(&transfer(1, "a", "b", i64::MAX))?;
    same("the balances", (desk.balance("a", None)?.0, desk.balance("b", None)?.0), (i64::MAX, -i64::MAX))
}

pub(crate) fn a_minimum_is_held_on_the_normal_side(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.account(&account_of("purse", AccountKind::Asset, Some(0)))?;
    desk.account(&account_of("debt", AccountKind::Liability, Some(-3)))?;
    refused!(
        "taking what is not in a purse",
        desk.try_commit(&transfer(1, "a", "purse", 1)),
        LedgerError::BelowMinimum { account, balance: -1, min_balance: 0 } if *account == id("purse")
    )?;
    desk.commit(&transfer(2, "purse", "a", 5))?;
    refused!(
        "debiting a liability below its minimum",
        desk.try_commit(&transfer(3, "debt", "a", 4)),
        LedgerError::BelowMinimum { account, balance: -4, min_balance: -3 } if *account == id("debt")
    )?;
    desk.commit(&transfer(4, "a", "debt", 9)).map(drop)
}

pub(crate) fn a_balance_at_its_minimum_is_accepted(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.account(&account_of("purse", AccountKind::Asset, Some(-3)))?;
    desk.commit(&transfer(1, "a", "purse", 3))?;
    same("the balance", desk.balance("purse", None)?.0, -3)
}

pub(crate) fn a_minimum_is_looked_at_after_all_postings(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.account(&account_of("purse", AccountKind::Asset, Some(0)))?;
    let postings = vec![
        Posting::credit(id("purse"), 4),
        Posting::debit(id("b"), 4),
        Posting::debit(id("purse"), 4),
        Posting::credit(id("c"), 4),
    ];
    desk.commit(&draft_of(1, postings))?;
    same("the balance", desk.balance("purse", None)?, (0, 5))
}

pub(crate) fn a_refused_transaction_changes_nothing(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    desk.account(&account_of("purse", AccountKind::Asset, Some(0)))?;
    let _refused = desk.try_commit(&transfer(1, "a", "purse", 5));
    same("how many events the book has", desk.count()?, 4)?;
    same("the balance of the other account", desk.balance("a", None)?, (0, 0))?;
    same("the transaction", desk.ledger().transaction(transaction(1)).works("looking for a transaction")?, None)
}

pub(crate) fn a_refused_transaction_uses_up_no_seq(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let _refused = desk.try_commit(&transfer(1, "a", "nobody", 5));
    same("the seq of the next one", desk.commit(&transfer(2, "a", "b", 5))?.seq, Seq(4))
}

pub(crate) fn what_is_remembered_of_a_transaction_comes_back(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    let mut draft = transfer(1, "a", "b", 5);
    draft.effective_at = Some(NOON - 3);
    draft.meta.insert("model \"x\"".to_owned(), "line\nbreak é".to_owned());
    desk.commit(&draft)?;
    let found = desk.ledger().transaction(transaction(1)).works("looking for a transaction")?;
    let found = found.map(|found| (found.book, found.seq, found.at, found.draft));
    same("the transaction", found, Some((home(), Seq(4), NOON, draft)))
}
