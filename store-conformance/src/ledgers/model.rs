//! The model test of ledgers: any sequence of calls on two handles, with reopens in between, answers what the reference answers.
//!
//! Books, accounts, keys and ids are few, so that calls meet each other: keys are reused, purses run empty, clocks go
//! back. After every call everything that a ledger can be asked is asked of both, and compared in full, errors by variant and
//! data.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use store_core::Seq;
use store_core::ledger::{
    Account, AccountId, AccountKind, Asset, BookName, Clock, Draft, Ledger, LedgerResult, Posting, Side,
};

use super::{LedgerHarness, MemoryLedgerHarness};
use crate::checks::ledger::{NOON, away, eur, home, in_book, transaction, usd};
use crate::{Failure, Outcome};

/// How many calls a sequence has at most.
const CALLS_MAX: usize = 40;
const PATHS: [&str; 4] = ["a", "b", "purse", "x:y"];
const HANDLES: usize = 2;

#[derive(Clone, Debug)]
struct Step {
    handle: usize,
    call: Call,
}

#[derive(Clone, Debug)]
enum Call {
    Register(Asset),
    Open(Account),
    Commit { away: bool, drafts: Vec<Draft> },
    Snapshot { away: bool },
    SetClock(u64),
    Reopen,
}

fn book(is_away: bool) -> BookName {
    if is_away { away() } else { home() }
}

fn any_asset() -> impl Strategy<Value = Asset> {
    prop_oneof![6 => Just(usd()), 3 => Just(eur()), 1 => Just(Asset { precision: 9, ..usd() })]
}

fn any_account() -> impl Strategy<Value = Account> {
    let kind = prop_oneof![
        4 => Just(AccountKind::Asset),
        2 => Just(AccountKind::Liability),
        2 => Just(AccountKind::Clearing),
    ];
    let min_balance = prop_oneof![5 => Just(None), 2 => Just(Some(0)), 1 => Just(Some(-5)), 1 => Just(Some(3))];
    (any::<bool>(), 0..PATHS.len(), any_asset(), kind, min_balance).prop_map(
        |(is_away, path, asset, kind, min_balance)| Account {
            id: in_book(&book(is_away), PATHS[path]),
            asset: asset.id,
            kind,
            min_balance,
        },
    )
}

fn any_postings(is_away: bool) -> impl Strategy<Value = Vec<Posting>> {
    let amount = prop_oneof![12 => 1_i64..9, 1 => Just(i64::MAX), 1 => Just(0)];
    let pair = (0..PATHS.len(), 0..PATHS.len(), amount).prop_map(move |(debit, credit, amount)| {
        let account = |path: usize| in_book(&book(is_away), PATHS[path]);
        vec![Posting::debit(account(debit), amount), Posting::credit(account(credit), amount)]
    });
    let lone = (any::<bool>(), 0..PATHS.len()).prop_map(|(elsewhere, path)| {
        vec![Posting { account: in_book(&book(elsewhere), PATHS[path]), side: Side::Debit, amount: 1 }]
    });
    prop_oneof![
        8 => pair.clone(),
        2 => proptest::collection::vec(pair, 2..4).prop_map(|pairs| pairs.concat()),
        1 => lone,
    ]
}

fn any_draft(is_away: bool) -> impl Strategy<Value = Draft> {
    (0..40_u64, 0..24_u32, any_postings(is_away), proptest::option::weighted(0.2, 0..9_u64)).prop_map(
        |(id, key, postings, effective_at)| Draft {
            effective_at,
            ..Draft::new(transaction(id), format!("k{key}"), postings)
        },
    )
}

fn any_call() -> impl Strategy<Value = Call> {
    let commit = any::<bool>().prop_flat_map(|is_away| {
        proptest::collection::vec(any_draft(is_away), 1..4)
            .prop_map(move |drafts| Call::Commit { away: is_away, drafts })
    });
    prop_oneof![
        2 => any_asset().prop_map(Call::Register),
        6 => any_account().prop_map(Call::Open),
        14 => commit,
        1 => any::<bool>().prop_map(|away| Call::Snapshot { away }),
        2 => (0..60_u64).prop_map(Call::SetClock),
        1 => Just(Call::Reopen),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    (0..HANDLES, any_call()).prop_map(|(handle, call)| Step { handle, call })
}

#[expect(clippy::needless_pass_by_value, reason = "what is said was answered for it")]
fn said(result: LedgerResult<impl Debug>) -> String {
    format!("{result:?}")
}

/// A ledger with its handles.
struct World<'h> {
    harness: &'h dyn LedgerHarness,
    clock: Clock,
    handles: Vec<Box<dyn Ledger>>,
}

impl<'h> World<'h> {
    fn open(harness: &'h dyn LedgerHarness, clock: &Clock) -> Result<Self, String> {
        let mut world = Self { harness, clock: Arc::clone(clock), handles: Vec::new() };
        world.reopen()?;
        Ok(world)
    }

    fn reopen(&mut self) -> Result<(), String> {
        for handle in self.handles.drain(..) {
            handle.shutdown().map_err(|error| format!("the ledger does not shut down: {error}"))?;
        }
        let opened = self.harness.open(&self.clock, HANDLES);
        self.handles = opened.map_err(|error| format!("the ledger does not open: {error}"))?;
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<String, String> {
        let handle = &self.handles[step.handle];
        Ok(match &step.call {
            Call::Register(asset) => said(handle.register_asset(asset)),
            Call::Open(account) => said(handle.open_account(account)),
            Call::Commit { away, drafts } => said(handle.commit_batch(&book(*away), drafts)),
            Call::Snapshot { away } => said(handle.snapshot_now(&book(*away))),
            Call::SetClock(_) => String::new(),
            Call::Reopen => {
                self.reopen()?;
                String::new()
            }
        })
    }

    /// Everything that a handle can be asked.
    fn picture(&self, handle: usize) -> Vec<String> {
        let ledger = &self.handles[handle];
        let mut picture = vec![said(ledger.list_books()), said(ledger.list_assets()), said(ledger.asset(&usd().id))];
        for book in [home(), away(), BookName::system()] {
            picture.push(said(ledger.read_events(&book, Seq(0), usize::MAX)));
            picture.push(said(ledger.read_events(&book, Seq(2), 3)));
            picture.push(said(ledger.list_accounts(&book)));
            for as_of in [None, Some(NOON + 20), Some(NOON + 40)] {
                picture.push(said(ledger.trial_balance(&book, as_of)));
            }
        }
        let ids = |book: BookName| PATHS.map(move |path| in_book(&book, path));
        for account in ids(home()).iter().chain(&ids(away())) {
            picture.extend(asked_of_account(&**ledger, account));
        }
        picture.extend((0..40).step_by(9).map(|n| said(ledger.transaction(transaction(n)))));
        picture
    }
}

fn asked_of_account(ledger: &dyn Ledger, account: &AccountId) -> Vec<String> {
    vec![
        said(ledger.balance(account, None)),
        said(ledger.balance(account, Some(NOON + 30))),
        said(ledger.account_history(account, Seq(0), usize::MAX)),
        said(ledger.account_history(account, Seq(3), 2)),
    ]
}

fn compare(harness: &dyn LedgerHarness, steps: &[Step]) -> Result<(), String> {
    let time = Arc::new(AtomicU64::new(NOON));
    let shown = Arc::clone(&time);
    let clock: Clock = Arc::new(move || shown.load(Ordering::SeqCst));
    let reference = MemoryLedgerHarness::default();
    let (mut reference, mut world) = (World::open(&reference, &clock)?, World::open(harness, &clock)?);
    for (number, step) in (1..).zip(steps) {
        if let Call::SetClock(behind) = &step.call {
            time.store(NOON + behind, Ordering::SeqCst);
        }
        let (expected, found) = (reference.take(step)?, world.take(step)?);
        if expected != found {
            return Err(format!("in call {number} the ledger answers {found}, the reference {expected}"));
        }
        let asked = (step.handle + 1) % HANDLES;
        let (expected, found) = (reference.picture(asked), world.picture(asked));
        if let Some((expected, found)) = expected.iter().zip(&found).find(|(expected, found)| expected != found) {
            return Err(format!("after call {number} the ledger says {found}, the reference {expected}"));
        }
    }
    Ok(())
}

/// Runs so many random sequences, each on a fresh ledger of `H`, other ones every time.
///
/// ```
/// store_conformance::ledger_model_test::<store_conformance::MemoryLedgerHarness>(8);
/// ```
///
/// # Panics
/// A ledger answers otherwise than the reference; the message has the shortest sequence that was found.
pub fn ledger_model_test<H: LedgerHarness + 'static>(cases: u32) {
    let config = Config { cases, max_shrink_iters: 2_000, failure_persistence: None, ..Config::default() };
    if let Err(failure) = run(TestRunner::new(config), &|| Box::new(H::fresh()), 1..=CALLS_MAX) {
        panic!("{failure}");
    }
}

/// Runs so many sequences of so many calls, each on a ledger that `fresh` makes: the same ones every time for a seed.
///
/// # Errors
/// A ledger answers otherwise than the reference.
pub fn run_ledger_model(
    fresh: &dyn Fn() -> Box<dyn LedgerHarness>,
    cases: u32,
    calls: std::ops::RangeInclusive<usize>,
    seed: u64,
) -> Outcome {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    run(TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)), fresh, calls)
}

/// How many operations a sequence of [`run_ledger_operations`] has.
const OPERATIONS: usize = 40;

/// What a program does that runs random operations on ledgers that `fresh` makes: `arguments` are how many operations are run (by default 100,000), and a seed (1). Answers with what to tell.
///
/// # Errors
/// A ledger answers otherwise than the reference; an argument is no number.
pub fn run_ledger_operations(
    arguments: impl IntoIterator<Item = String>,
    fresh: &dyn Fn() -> Box<dyn LedgerHarness>,
) -> Result<String, Failure> {
    let mut numbers = [100_000_u64, 1];
    for (number, argument) in numbers.iter_mut().zip(arguments) {
        *number = argument.parse().map_err(|_| Failure::new(format!("{argument:?} is no number")))?;
    }
    let [operations, seed] = numbers;
    let cases = u32::try_from(operations.div_ceil(OPERATIONS as u64)).unwrap_or(u32::MAX);
    run_ledger_model(fresh, cases, OPERATIONS..=OPERATIONS, seed)?;
    let operations = u64::from(cases) * OPERATIONS as u64;
    Ok(format!("{operations} operations in {cases} sequences, seed {seed}: every answer is the reference's"))
}

fn run(
    mut runner: TestRunner,
    fresh: &dyn Fn() -> Box<dyn LedgerHarness>,
    calls: std::ops::RangeInclusive<usize>,
) -> Outcome {
    let steps = proptest::collection::vec(any_step(), calls);
    let outcome = runner.run(&steps, |steps| compare(&*fresh(), &steps).map_err(TestCaseError::fail));
    outcome.map_err(|error| match error {
        TestError::Fail(reason, steps) => {
            let calls: String = (1..).zip(&steps).map(|(number, step)| format!("\n{number:4} {step:?}")).collect();
            Failure::new(format!("{reason}\nThe calls were:{calls}"))
        }
        TestError::Abort(reason) => Failure::new(format!("the sequences could not be run: {reason}")),
    })
}
