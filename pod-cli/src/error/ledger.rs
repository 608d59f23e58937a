//! What a ledger refuses, in words.

use session_store::budget::OverBudget;
use store_core::ledger::LedgerError;

use super::{Report, exit, store_report};
use crate::render::rfc3339;

/// A budget that is spent.
pub(super) fn over_budget(over: &OverBudget, message: String) -> Report {
    let again = over.until.map_or_else(String::new, |until| format!("it begins anew at {}; ", rfc3339(until)));
    let hint = format!(
        "{again}`pod budget list` says more, `pod budget set --per {} --amount USD` with --project changes it",
        over.per
    );
    Report::new(exit::OVER_BUDGET, "over_budget", message, Some(&hint))
}

/// A budget whose calendar this machine does not have.
pub(super) fn unknown_zone(message: String) -> Report {
    Report::new(exit::USAGE, "unknown_zone", message, Some("`pod budget set` with --tz sets another one"))
}

pub(super) fn report(error: &LedgerError, message: String) -> Report {
    let of = |code, kind, hint: &str| Report::new(code, kind, message.clone(), Some(hint));
    match error {
        LedgerError::Store(error) => store_report(error, message),
        LedgerError::BelowMinimum { .. } => {
            of(exit::OVER_BUDGET, "over_budget", "nothing was posted; `pod budget list` says what is left")
        }
        LedgerError::UnknownAccount { .. } | LedgerError::UnknownBook { .. } | LedgerError::UnknownAsset { .. } => {
            of(exit::NOT_FOUND, "not_found", "`pod ledger accounts` lists what is there")
        }
        LedgerError::InvalidName { .. } => of(
            exit::USAGE,
            "bad_name",
            "an account is BOOK:PATH, a book has 1 to 64 of a-z, 0-9, _ and -, the first no _; `pod ledger accounts` lists both",
        ),
        LedgerError::AlreadyExists { .. } | LedgerError::KeyReused { .. } => {
            of(exit::CONFLICT, "conflict", "somebody else posted meanwhile: look again, then decide")
        }
        LedgerError::BookClosed { .. } => of(
            exit::FAILED,
            "book_closed",
            "a sync failed: look to the disk, then give the same command again; nothing is posted twice",
        ),
        LedgerError::Damaged { book, .. } => {
            let hint = format!(
                "make a copy of the store, then `pod repair --ledger {book}` keeps what stands before it and sets the rest aside; with --dry-run it only says what that is"
            );
            of(exit::DAMAGE, "damaged", &hint)
        }
        _ => Report::new(exit::FAILED, "failed", message, None),
    }
}
