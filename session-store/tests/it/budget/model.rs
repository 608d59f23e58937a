//! Random calls against a model that is too simple to be wrong: sums of maps.

use std::collections::BTreeMap;

use proptest::prelude::*;
use session_store::SessionError;
use session_store::budget::{Owner, Per, Reservation, Wanted, budget_book};
use store_core::Lease;
use store_core::ledger::AccountId;

use super::{CENT, DAY_MS, Desk, cents_of, request};
use crate::common::NOW;

#[derive(Clone, Debug)]
enum Step {
    /// Sets the limit of the outer (`false`) or inner folder.
    Set(bool, i64),
    Remove(bool),
    Reserve(bool, i64),
    /// Settles the n-th open turn with a request of this name and cost.
    Settle(usize, u8, i64),
    Release(usize),
    /// The owner of the n-th open turn dies.
    Die(usize),
    /// The store has these requests now, whatever was told before.
    Charge(Vec<(u8, bool, i64)>),
    NextDay,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (any::<bool>(), 1_i64..200).prop_map(|(inner, cents)| Step::Set(inner, cents)),
        any::<bool>().prop_map(Step::Remove),
        (any::<bool>(), 1_i64..80).prop_map(|(inner, cents)| Step::Reserve(inner, cents)),
        (0_usize..3, 0_u8..6, 0_i64..90).prop_map(|(turn, name, cents)| Step::Settle(turn, name, cents)),
        (0_usize..3).prop_map(Step::Release),
        (0_usize..3).prop_map(Step::Die),
        proptest::collection::vec((0_u8..6, any::<bool>(), 0_i64..90), 0..6).prop_map(Step::Charge),
        Just(Step::NextDay),
    ];
    proptest::collection::vec(step, 1..40)
}

const FOLDERS: [&str; 2] = ["/a", "/a/b"];

/// What a day's budgets should say.
#[derive(Default)]
struct Model {
    limits: [i64; 2],
    /// What each request cost, by folder of the budget, day and name.
    spent: [BTreeMap<(u64, u8), i64>; 2],
    turns: Vec<Turn>,
    day: u64,
}

struct Turn {
    inner: bool,
    cents: i64,
    day: u64,
    /// Which of the two budgets it reserved in.
    held: [bool; 2],
    reservation: Reservation,
    lease: Lease,
}

impl Model {
    fn spent(&self, folder: usize) -> i64 {
        self.spent[folder].iter().filter(|((day, _), _)| *day == self.day).map(|(_, cents)| cents).sum()
    }

    fn reserved(&self, folder: usize) -> i64 {
        self.turns.iter().filter(|turn| turn.day == self.day && turn.held[folder]).map(|turn| turn.cents).sum()
    }

    fn left(&self, folder: usize) -> i64 {
        self.limits[folder] - self.spent(folder) - self.reserved(folder)
    }

    /// The budgets that a turn is under.
    fn over(&self, inner: bool) -> Vec<usize> {
        (0..2).filter(|folder| self.limits[*folder] > 0 && (*folder == 0 || inner)).collect()
    }
}

fn run(desk: &mut Desk, model: &mut Model, step: &Step) {
    match step {
        Step::Set(inner, cents) => {
            desk.set(FOLDERS[usize::from(*inner)], Per::Day, *cents);
            model.limits[usize::from(*inner)] = *cents;
        }
        Step::Remove(inner) => {
            desk.budgets().remove(FOLDERS[usize::from(*inner)], None).unwrap();
            model.limits[usize::from(*inner)] = 0;
        }
        Step::Reserve(inner, cents) => reserve(desk, model, *inner, *cents),
        Step::Settle(turn, name, cents) if !model.turns.is_empty() => {
            let turn = model.turns.remove(turn % model.turns.len());
            let one = request(&format!("r:{name}"), FOLDERS[usize::from(turn.inner)], desk.now, *cents);
            desk.budgets().settle(&turn.reservation, std::slice::from_ref(&one)).unwrap();
            desk.budgets().settle(&turn.reservation, &[one]).unwrap();
            for folder in model.over(turn.inner) {
                let known = model.spent[folder].entry((model.day, *name)).or_default();
                *known = (*known).max(*cents);
            }
        }
        Step::Release(turn) if !model.turns.is_empty() => {
            let turn = model.turns.remove(turn % model.turns.len());
            desk.budgets().release(&turn.reservation).unwrap();
        }
        Step::Die(turn) if !model.turns.is_empty() => drop(model.turns.remove(turn % model.turns.len()).lease),
        Step::Charge(uses) => {
            // Of one name the last is what the store has.
            let uses: BTreeMap<u8, (bool, i64)> =
                uses.iter().map(|(name, inner, cents)| (*name, (*inner, *cents))).collect();
            let told: Vec<_> = uses
                .iter()
                .map(|(name, (inner, cents))| {
                    request(&format!("r:{name}"), FOLDERS[usize::from(*inner)], desk.now, *cents)
                })
                .collect();
            desk.budgets().charge(&told).unwrap();
            for (name, (inner, cents)) in uses {
                for folder in (0..2).filter(|folder| model.limits[*folder] > 0) {
                    let counts = folder == 0 || inner;
                    model.spent[folder].insert((model.day, name), if counts { cents } else { 0 });
                    // A request has one time: what an earlier day had of it was moved where that day is still looked at.
                }
            }
        }
        Step::NextDay => {
            desk.now += DAY_MS;
            model.day += 1;
        }
        Step::Settle(..) | Step::Release(_) | Step::Die(_) => {}
    }
}

fn reserve(desk: &Desk, model: &mut Model, inner: bool, cents: i64) {
    let (owner, lease): (Owner, Lease) = desk.writer();
    let over = model.over(inner);
    let fits = over.iter().all(|folder| model.left(*folder) >= cents.max(1));
    match desk.budgets().reserve(FOLDERS[usize::from(inner)], Wanted::Exactly(cents_of(cents)), &owner) {
        Ok(reservation) => {
            assert!(fits, "it had {cents} of what was not there");
            let held = [0, 1].map(|folder| over.contains(&folder));
            model.turns.push(Turn { inner, cents, day: model.day, held, reservation, lease });
        }
        Err(SessionError::OverBudget(refused)) => {
            assert!(!fits, "{refused}, and {cents} were there");
        }
        Err(error) => panic!("{error}"),
    }
}

/// That available, reserved and spent, without what is overdrawn, are what was granted; and that is what the model says.
fn check(desk: &Desk, model: &Model) {
    for (folder, project) in FOLDERS.into_iter().enumerate().filter(|(folder, _)| model.limits[*folder] > 0) {
        let standing = desk.budgets().list(&desk.budgets().set_on(project).unwrap(), &[]).unwrap().remove(0);
        let said = [standing.spent, standing.reserved, standing.left].map(|nanos| nanos.0 / CENT);
        assert_eq!(said, [model.spent(folder), model.reserved(folder), model.left(folder)], "{project}");
        let book = budget_book(project).unwrap();
        let label = session_store::budget::Period::at(Per::Day, "UTC", desk.now).unwrap().label;
        let holds = |path: String| desk.ledger.balance(&AccountId::new(&book, &path).unwrap(), None).unwrap().amount;
        let reserved = standing.reserved.0;
        let (available, overdrawn) = (holds(format!("available:{label}")), holds(format!("overdrawn:{label}")));
        let sum = available + reserved + holds(format!("spent:{label}")) - overdrawn;
        assert_eq!((sum, sum), (model.limits[folder] * CENT, holds(format!("granted:{label}"))), "{project}");
        assert!(available == 0 || overdrawn == 0, "{project}: {available} available, {overdrawn} overdrawn");
        for row in desk.ledger.trial_balance(&book, None).unwrap() {
            assert_eq!(row.debit, row.credit, "{project}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_available_reserved_and_spent_is_always_what_was_granted(steps in steps()) {
        let mut desk = Desk::at("memory");
        let mut model = Model::default();
        for step in &steps {
            run(&mut desk, &mut model, step);
            check(&desk, &model);
        }
        prop_assert!(desk.now >= NOW);
    }
}
