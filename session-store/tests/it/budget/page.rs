//! The worked example of docs/LEDGER.md, made and compared with the page.

use std::fmt::Write as _;
use std::path::Path;

use session_store::budget::{Per, budget_book};
use store_core::Seq;
use store_core::ledger::{EventBody, Posting, Side};

use super::{Desk, cents_of, request};
use crate::common::NOW;

/// A posting without the label that all accounts of the period have.
fn told(posting: &Posting) -> String {
    let account = posting.account.path().replace(":day:UTC:2025-11-24", "");
    let side = if posting.side == Side::Debit { "debit" } else { "credit" };
    let cents = posting.amount / super::CENT;
    format!("{side} {account} {}.{:02}", cents / 100, cents % 100)
}

/// A key without what an id makes of it.
fn named(key: &str) -> String {
    match key.rsplit_once(':') {
        Some((front, id)) if id.len() == 36 => format!("{front}:<id>"),
        _ => key.to_owned(),
    }
}

#[test]
fn the_example_of_the_page_is_what_happens() {
    let desk = Desk::at("memory");
    let budget = desk.set("/web", Per::Day, 100);
    let (owner, _lease) = desk.writer();
    let turn = desk.reserve("/web", 30, &owner).unwrap();
    desk.budgets().settle(&turn, &[request("r:1", "/web", NOW, 45)]).unwrap();
    desk.budgets()
        .charge_budget(&budget, &[request("r:1", "/web", NOW, 45), request("r:2", "/web/api", NOW, 65)])
        .unwrap();
    desk.budgets().set(&session_store::budget::Budget { limit: cents_of(200), ..budget }).unwrap();

    let mut made = String::new();
    for event in desk.ledger.read_events(&budget_book("/web").unwrap(), Seq::START, usize::MAX).unwrap() {
        if let EventBody::Transaction(draft) = event.body {
            let postings: Vec<String> = draft.postings.iter().map(told).collect();
            writeln!(made, "{:<42} {}", named(&draft.key), postings.join(", ")).unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/LEDGER.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains(&made), "the page should say\n{made}");
}
