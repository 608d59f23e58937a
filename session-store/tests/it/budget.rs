//! Budgets: what is reserved, spent and left, whoever asks and whatever dies.

mod model;
mod overtaken;
mod page;
mod race;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use session_store::budget::{Budget, Budgets, OverBudget, Owner, Per, Reservation, Standing, Wanted, budget_book};
use session_store::usage::{NanoDollars, PriceTable, Use};
use session_store::{NewSegment, OpenOptions, SegmentLocation, SessionError, create_segment, open, open_ledger};
use store_core::ledger::{Clock, Ledger};
use store_core::{Backend, Lease, LlmUsage, SessionId};

use crate::common::NOW;

const CENT: i64 = 10_000_000;
const DAY_MS: u64 = 86_400_000;

/// A store with its ledger, and what asks it.
struct Desk {
    url: String,
    store: Arc<dyn Backend>,
    ledger: Arc<dyn Ledger>,
    prices: PriceTable,
    now: u64,
    _folder: tempfile::TempDir,
}

fn clock() -> Clock {
    Arc::new(|| NOW * 1000)
}

impl Desk {
    fn at(scheme: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match scheme {
            "memory" => format!("memory:{}", folder.path().display()),
            scheme => format!("{scheme}:{}", folder.path().join("store").display()),
        };
        let store = open(&url, &OpenOptions::at(NOW)).unwrap();
        let ledger = open_ledger(&url, &clock(), Duration::ZERO).unwrap();
        Self { url, store, ledger, prices: PriceTable::shipped().unwrap(), now: NOW, _folder: folder }
    }

    fn budgets(&self) -> Budgets<'_> {
        Budgets { ledger: &*self.ledger, store: &*self.store, prices: &self.prices, now: self.now }
    }

    fn set(&self, project: &str, per: Per, cents: i64) -> Budget {
        let budget = Budget { project: project.to_owned(), per, zone: "UTC".to_owned(), limit: cents_of(cents) };
        self.budgets().set(&budget).unwrap();
        budget
    }

    fn segment(&self) -> SegmentLocation {
        create_segment(&*self.store, NOW, NewSegment::default()).unwrap()
    }

    /// A live writer, as long as the lease is held.
    fn writer(&self) -> (Owner, Lease) {
        self.writer_of(self.segment())
    }

    fn writer_of(&self, at: SegmentLocation) -> (Owner, Lease) {
        let lease = self.store.watch().unwrap().lease(at.session_id, at.segment_id, "the writer", NOW).unwrap();
        (Owner::of(&*self.store, at.session_id, at.segment_id).unwrap(), lease)
    }

    fn reserve(&self, project: &str, cents: i64, owner: &Owner) -> Result<Reservation, OverBudget> {
        match self.budgets().reserve(project, Wanted::Exactly(cents_of(cents)), owner) {
            Ok(reservation) => Ok(reservation),
            Err(SessionError::OverBudget(over)) => Err(over),
            Err(error) => panic!("{error}"),
        }
    }

    /// What the budgets that a folder is under have spent, reserved and left, in cents.
    fn told(&self, project: &str) -> Vec<(i64, i64, i64)> {
        self.told_with(project, &[])
    }

    fn told_with(&self, project: &str, uses: &[Use]) -> Vec<(i64, i64, i64)> {
        let covering = self.budgets().covering(project).unwrap();
        let looked = self.budgets().look(&covering, uses).unwrap();
        let listed = self.budgets().list(&covering, uses).unwrap();
        if listed.iter().all(|standing| standing.reserved.0 == 0) {
            let spent = |all: &[Standing]| all.iter().map(|one| one.spent).collect::<Vec<_>>();
            assert_eq!(spent(&looked), spent(&listed), "who only looks sees what is posted then");
        }
        for budget in &covering {
            for row in self.ledger.trial_balance(&budget_book(&budget.project).unwrap(), None).unwrap() {
                assert_eq!(row.debit, row.credit, "{budget:?}");
            }
        }
        listed.iter().map(|one| (one.spent.0 / CENT, one.reserved.0 / CENT, one.left.0 / CENT)).collect()
    }
}

fn cents_of(cents: i64) -> NanoDollars {
    NanoDollars(cents * CENT)
}

/// A request that cost so much.
fn request(name: &str, project: &str, ts: u64, cents: i64) -> Use {
    Use {
        request: name.to_owned(),
        session: SessionId::derive(1, b"session"),
        agent: None,
        project: Some(project.to_owned()),
        usage: LlmUsage { ts, cost: Some(cents_of(cents).to_string()), ..LlmUsage::default() },
    }
}

fn on_every_ledger(check: impl Fn(&str, Desk)) {
    let built_in = session_store::schemes();
    for scheme in ["memory", "fs", "sqlite"].into_iter().filter(|scheme| built_in.iter().any(|known| known == scheme)) {
        check(scheme, Desk::at(scheme));
    }
}

#[test]
fn a_turn_reserves_settles_and_gives_the_rest_back() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Day, 100);
        let (owner, _lease) = desk.writer();
        let turn = desk.reserve("/web", 30, &owner).unwrap();
        assert_eq!(desk.told("/web"), [(0, 30, 70)], "{scheme}");
        desk.budgets().settle(&turn, &[request("r:1", "/web", NOW, 20)]).unwrap();
        assert_eq!(desk.told("/web"), [(20, 0, 80)], "{scheme}");
        // Again, and when the conversation is read later: nothing changes.
        desk.budgets().settle(&turn, &[request("r:1", "/web", NOW, 20)]).unwrap();
        assert_eq!(desk.told_with("/web", &[request("r:1", "/web", NOW, 20)]), [(20, 0, 80)], "{scheme}");
        desk.budgets().release(&turn).unwrap();
        assert_eq!(desk.told("/web"), [(20, 0, 80)], "{scheme}");
    });
}

#[test]
fn what_is_more_than_was_there_is_overdrawn_and_refuses_the_next_turn() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Week, 100);
        let (owner, _lease) = desk.writer();
        let turn = desk.reserve("/web", 60, &owner).unwrap();
        desk.budgets().settle(&turn, &[request("r:1", "/web", NOW, 250)]).unwrap();
        assert_eq!(desk.told("/web"), [(250, 0, -150)], "{scheme}");
        let over = desk.reserve("/web", 1, &owner).unwrap_err();
        let spent = (over.project.as_str(), over.per, over.limit, over.spent, over.reserved);
        assert_eq!(spent, ("/web", Per::Week, cents_of(100), cents_of(250), cents_of(0)), "{scheme}");
        // A request that cost less than was thought gives back what was overdrawn first.
        let less = [request("r:1", "/web", NOW, 90)];
        assert_eq!(desk.told_with("/web", &less), [(90, 0, 10)], "{scheme}");
        desk.reserve("/web", 10, &owner).unwrap();
    });
}

#[test]
fn requests_count_once_and_only_where_and_when_they_were_made() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Day, 1000);
        let uses = [
            request("r:1", "/web", NOW, 1),
            request("r:2", "/web/api", NOW, 2),
            request("r:3", "/website", NOW, 4),
            request("r:4", "/web", NOW - DAY_MS, 8),
            request("r:5", "/", NOW, 16),
        ];
        assert_eq!(desk.told_with("/web", &uses), [(3, 0, 997)], "{scheme}");
        let reversed: Vec<Use> = uses.iter().rev().cloned().collect();
        assert_eq!(desk.told_with("/web", &reversed), [(3, 0, 997)], "{scheme}");
        // It grew; it turned out to be another folder's; one is not told of any more.
        let later = [request("r:1", "/web", NOW, 32), request("r:3", "/web", NOW, 4)];
        assert_eq!(desk.told_with("/web", &later), [(38, 0, 962)], "{scheme}");
        let moved = [request("r:1", "/api", NOW, 32)];
        assert_eq!(desk.told_with("/web", &moved), [(6, 0, 994)], "{scheme}: what was spent stays spent");
        let mut nowhere = request("r:2", "/web", NOW, 2);
        nowhere.project = None;
        assert_eq!(desk.told_with("/web", &[nowhere]), [(6, 0, 994)], "{scheme}: nobody knows where it belongs");
        let earlier = [request("r:3", "/web", NOW - DAY_MS, 4)];
        assert_eq!(desk.told_with("/web", &earlier), [(2, 0, 998)], "{scheme}");
    });
}

/// A conversation that spends 7 cents in `/web` and goes on elsewhere.
#[cfg(feature = "index")]
#[test]
fn who_goes_on_in_another_folder_takes_nothing_of_what_was_spent_along() {
    use store_core::{ConfigChanged, LogEntry, SessionConfig};

    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Total, 100);
        desk.set("/api", Per::Total, 100);
        let (at, index) = (desk.segment(), session_store::index::Index::open(&*desk.store).unwrap());
        let append = |entry| {
            session_store::append_entry(&*desk.store, at, entry).unwrap();
        };
        let moves = |cwd: &str| {
            let config = SessionConfig { cwd: Some(cwd.to_owned()), ..SessionConfig::default() };
            append(LogEntry::ConfigChanged(ConfigChanged { ts: NOW, config }));
        };
        let told = || {
            index.refresh(&*desk.store).unwrap();
            let uses = index.uses().unwrap();
            ["/web", "/api"].map(|folder| desk.told_with(folder, &uses)[0].0)
        };
        moves("/web");
        append(LogEntry::LlmUsage(request("r:1", "", NOW, 7).usage));
        assert_eq!(told(), [7, 0], "{scheme}");
        moves("/api");
        assert_eq!(told(), [7, 0], "{scheme}: nothing is given back");
        append(LogEntry::LlmUsage(request("r:2", "", NOW, 5).usage));
        assert_eq!(told(), [7, 5], "{scheme}");
    });
}

#[test]
fn what_cannot_be_counted_is_left_out_and_told() {
    on_every_ledger(|scheme, desk| {
        let budget = desk.set("/web", Per::Total, 100);
        let (budgets, dear) = (desk.budgets(), 900_000_000_000);
        let uses =
            [request("r:1", "/web", NOW, dear), request("r:2", "/web", NOW, dear), request("r:3", "/web", NOW, 1)];
        let looked = budgets.look(std::slice::from_ref(&budget), &uses).unwrap().remove(0);
        for standing in [looked, budgets.list(std::slice::from_ref(&budget), &uses).unwrap().remove(0)] {
            assert_eq!((standing.spent, standing.refused), (cents_of(dear + 1), 1), "{scheme}");
        }
        assert_eq!(budgets.charge(&uses).unwrap(), 1, "{scheme}: again");
        budgets.set(&Budget { limit: cents_of(200), ..budget.clone() }).unwrap();
        budgets.settle(&Reservation::nothing("/web"), &uses).unwrap();
        budgets.remove("/web", None).unwrap();
    });
}

#[test]
fn names_of_requests_are_told_apart_whatever_they_hold() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Day, 1000);
        let long = "x".repeat(5000);
        let names = ["r:1", "r:1#2", "r:1\n1", "r:#1", "", &long, &long[1..]];
        for cents in [1, 2] {
            let uses: Vec<Use> = names.iter().map(|name| request(name, "/web", NOW, cents)).collect();
            assert_eq!(desk.told_with("/web", &uses), [(7 * cents, 0, 1000 - 7 * cents)], "{scheme}");
        }
    });
}

#[test]
fn what_nobody_knows_the_price_of_costs_nothing_and_is_told() {
    on_every_ledger(|scheme, desk| {
        let budget = desk.set("/web", Per::Total, 100);
        let mut unknown = request("r:1", "/web", NOW, 1);
        unknown.usage.cost = None;
        let mut listed = request("r:2", "/web", NOW, 99);
        listed.usage.model = Some("gpt-5".to_owned());
        listed.usage.input_total_tokens = 1000;
        let standing = desk.budgets().list(&[budget], &[unknown, listed]).unwrap().remove(0);
        let said = (standing.spent, standing.unpriced, standing.percent, standing.warns());
        assert_eq!(
            said,
            (NanoDollars(1_250_000), Some(1), 0, false),
            "{scheme}: the list counts, then what the agent said"
        );
    });
}

#[test]
fn a_turn_is_under_every_budget_above_it_and_reserves_in_all_or_none() {
    on_every_ledger(|scheme, desk| {
        desk.set("/a", Per::Month, 100);
        desk.set("/a/b/c", Per::Day, 500);
        desk.set("/a/b", Per::Day, 50);
        desk.set("/a/b", Per::Total, 400);
        let (owner, _lease) = desk.writer();
        let over = desk.reserve("/a/b/c/d", 60, &owner).unwrap_err();
        assert_eq!((over.project.as_str(), over.per), ("/a/b", Per::Day), "{scheme}");
        assert_eq!(desk.told("/a/b/c"), [(0, 0, 500), (0, 0, 50), (0, 0, 400), (0, 0, 100)], "{scheme}");
        let turn = desk.reserve("/a/b/c/d", 50, &owner).unwrap();
        assert_eq!(desk.told("/a/b/c"), [(0, 50, 450), (0, 50, 0), (0, 50, 350), (0, 50, 50)], "{scheme}");
        desk.budgets().settle(&turn, &[request("r:1", "/a/b/c/d", NOW, 10)]).unwrap();
        assert_eq!(desk.told("/a/b/c"), [(10, 0, 490), (10, 0, 40), (10, 0, 390), (10, 0, 90)], "{scheme}");
        assert_eq!(desk.told("/a/x"), [(10, 0, 90)], "{scheme}");
        assert!(desk.told("/x").is_empty(), "{scheme}");
        assert_eq!(desk.reserve("/x", 9999, &owner).unwrap(), Reservation::nothing("/x"), "{scheme}");
    });
}

#[test]
fn as_much_as_is_left_may_be_had_and_nothing_of_nothing() {
    on_every_ledger(|scheme, desk| {
        desk.set("/a", Per::Day, 100);
        desk.set("/a/b", Per::Total, 30);
        let at_most = |owner: &Owner| desk.budgets().reserve("/a/b", Wanted::AtMost(cents_of(70)), owner);
        let ((one, _first), (two, _second)) = (desk.writer(), desk.writer());
        assert_eq!(at_most(&one).unwrap().amount, cents_of(30), "{scheme}");
        assert!(
            matches!(at_most(&two), Err(SessionError::OverBudget(over)) if over.reserved == cents_of(30)),
            "{scheme}"
        );
    });
}

#[test]
fn limits_are_changed_and_taken_away_and_what_was_spent_stays() {
    on_every_ledger(|scheme, desk| {
        let uses = [request("r:1", "/web", NOW, 60)];
        desk.set("/web", Per::Day, 100);
        assert_eq!(desk.told_with("/web", &uses), [(60, 0, 40)], "{scheme}");
        desk.set("/web", Per::Day, 100);
        desk.set("/web", Per::Day, 50);
        assert_eq!(desk.told("/web"), [(60, 0, -10)], "{scheme}: lowered below what was spent");
        desk.set("/web", Per::Day, 65);
        assert_eq!(desk.told("/web"), [(60, 0, 5)], "{scheme}");
        desk.set("/web", Per::Month, 300);
        assert_eq!(desk.budgets().remove("/web", Some(Per::Day)).unwrap()[0].limit, cents_of(65));
        assert_eq!(desk.told_with("/web", &uses), [(60, 0, 240)], "{scheme}");
        assert!(desk.budgets().remove("/web", Some(Per::Day)).unwrap().is_empty());
        desk.set("/web", Per::Day, 100);
        assert_eq!(desk.told("/web"), [(60, 0, 40), (60, 0, 240)], "{scheme}: it was spent today all the same");
        assert_eq!(desk.budgets().remove("/web", None).unwrap().len(), 2);
        assert!(desk.budgets().all().unwrap().is_empty(), "{scheme}");
        // What was set is still to be read.
        let book = budget_book("/web").unwrap();
        let limit = store_core::ledger::AccountId::new(&book, "limit:day:UTC").unwrap();
        let history = desk.ledger.account_history(&limit, store_core::Seq::START, usize::MAX).unwrap();
        let held: Vec<i64> = history.iter().map(|row| row.balance / CENT).collect();
        assert_eq!(held, [100, 50, 65, 0, 100, 0], "{scheme}");
    });
}

#[test]
fn another_period_is_given_the_limit_anew() {
    on_every_ledger(|scheme, mut desk| {
        desk.set("/web", Per::Day, 100);
        desk.set("/web", Per::Total, 1000);
        let today = [request("r:1", "/web", NOW, 100)];
        assert_eq!(desk.told_with("/web", &today), [(100, 0, 0), (100, 0, 900)], "{scheme}");
        desk.now += DAY_MS;
        assert_eq!(desk.told_with("/web", &today), [(0, 0, 100), (100, 0, 900)], "{scheme}");
        // A turn over midnight: each of its requests belongs to its day, and what was reserved is given back.
        let (owner, _lease) = desk.writer();
        let turn = desk.reserve("/web", 80, &owner).unwrap();
        let evening = desk.now;
        desk.now += DAY_MS;
        desk.set("/web", Per::Day, 70);
        let long_ago = request("r:0", "/web", NOW - 40 * DAY_MS, 1);
        let uses = [long_ago, request("r:2", "/web", evening, 30), request("r:3", "/web", desk.now, 20)];
        desk.budgets().settle(&turn, &uses).unwrap();
        assert_eq!(desk.told("/web"), [(20, 0, 50), (151, 0, 849)], "{scheme}");
        desk.now -= DAY_MS;
        let accounts = desk.ledger.list_accounts(&budget_book("/web").unwrap()).unwrap();
        let days = accounts.iter().filter(|account| account.id.path().starts_with("granted:day:")).count();
        assert_eq!(days, 3, "{scheme}: days that nobody asked for are none");
        let yesterday = desk.budgets().covering("/web").unwrap();
        let yesterday = desk.budgets().stand(&yesterday).unwrap().remove(0);
        assert_eq!((yesterday.spent, yesterday.reserved), (cents_of(30), cents_of(0)), "{scheme}");
        desk.now += DAY_MS;
        // What comes to light late counts in its own day.
        let late = [&today[..], &uses[..], &[request("r:4", "/web", evening, 5)]].concat();
        assert_eq!(desk.told_with("/web", &late), [(20, 0, 50), (156, 0, 844)], "{scheme}");
        let label = session_store::budget::Period::at(Per::Day, "UTC", evening).unwrap().label;
        let account =
            store_core::ledger::AccountId::new(&budget_book("/web").unwrap(), &format!("spent:{label}")).unwrap();
        assert_eq!(desk.ledger.balance(&account, None).unwrap().amount, 35 * CENT, "{scheme}");
    });
}

#[test]
fn the_days_of_a_budget_are_those_of_its_zone() {
    on_every_ledger(|scheme, mut desk| {
        let berlin = |cents| Budget {
            project: "/web".to_owned(),
            per: Per::Day,
            zone: "Europe/Berlin".to_owned(),
            limit: cents_of(cents),
        };
        // 2025-10-26 has 25 hours there: from 22:00 in UTC to 23:00 a day later.
        let midnight = 1_761_429_600_000;
        desk.now = midnight + 24 * 3_600_000 + 1_800_000;
        desk.budgets().set(&berlin(100)).unwrap();
        let uses = [
            request("r:1", "/web", midnight - 1, 1),
            request("r:2", "/web", midnight, 2),
            request("r:3", "/web", midnight + 25 * 3_600_000 - 1, 4),
            request("r:4", "/web", midnight + 25 * 3_600_000, 8),
        ];
        assert_eq!(desk.told_with("/web", &uses), [(6, 0, 94)], "{scheme}");
        // Another zone is another calendar, for the same limit.
        desk.set("/web", Per::Day, 100);
        assert_eq!(desk.budgets().all().unwrap().len(), 1, "{scheme}");
        assert_eq!(desk.told_with("/web", &uses), [(12, 0, 88)], "{scheme}");
        let nowhere = Budget { zone: "Middle/Earth".to_owned(), ..berlin(1) };
        assert!(matches!(desk.budgets().set(&nowhere), Err(SessionError::UnknownZone { .. })), "{scheme}");
    });
}

#[test]
fn what_dead_owners_reserved_is_given_back_by_whoever_comes_next() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Day, 100);
        let ((owner, lease), (other, _other)) = (desk.writer(), desk.writer());
        let turn = desk.reserve("/web", 100, &owner).unwrap();
        desk.reserve("/web", 1, &other).unwrap_err();
        assert_eq!(desk.told("/web"), [(0, 100, 0)], "{scheme}: it lives");
        drop(lease);
        desk.reserve("/web", 100, &other).unwrap();
        assert_eq!(desk.told("/web"), [(0, 100, 0)], "{scheme}");
        // It was not dead after all: what it spent counts, and takes nothing that is the other's.
        desk.budgets().settle(&turn, &[request("r:1", "/web", NOW, 30)]).unwrap();
        assert_eq!(desk.told("/web"), [(30, 100, -30)], "{scheme}");
    });
}

#[test]
fn a_successor_of_a_dead_owner_is_not_taken_for_it() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Day, 100);
        let at = desk.segment();
        let (owner, lease) = desk.writer_of(at);
        desk.reserve("/web", 60, &owner).unwrap();
        drop(lease);
        // The same segment, the same name, the same clock: it reserves for itself, so the one before is gone.
        let (successor, lease) = desk.writer_of(at);
        desk.reserve("/web", 100, &successor).unwrap();
        assert_eq!(desk.told("/web"), [(0, 100, 0)], "{scheme}");
        drop(lease);
        // One with another name is told from it without that.
        let watch = desk.store.watch().unwrap();
        let _lease = watch.lease(at.session_id, at.segment_id, "somebody else", NOW).unwrap();
        assert_eq!(desk.told("/web"), [(0, 0, 100)], "{scheme}");
    });
}

#[test]
fn a_settlement_that_was_cut_off_is_finished() {
    on_every_ledger(|scheme, desk| {
        desk.set("/a", Per::Day, 100);
        desk.set("/a/b", Per::Day, 100);
        let (owner, _lease) = desk.writer();
        let uses = [request("r:1", "/a/b", NOW, 10), request("r:2", "/a/b", NOW, 20)];
        // It had given back, and told of one request in one book.
        let turn = desk.reserve("/a/b", 90, &owner).unwrap();
        desk.budgets().release(&turn).unwrap();
        let inner = desk.budgets().set_on("/a/b").unwrap();
        desk.budgets().charge_budget(&inner[0], &uses[..1]).unwrap();
        desk.budgets().settle(&turn, &uses).unwrap();
        assert_eq!(desk.told_with("/a/b", &uses), [(30, 0, 70), (30, 0, 70)], "{scheme}");
    });
}

#[test]
fn many_requests_are_posted_together_and_found_again() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Month, 100);
        let uses: Vec<Use> = (0..1000).map(|n| request(&format!("r:{n}"), "/web", NOW, 1)).collect();
        assert_eq!(desk.told_with("/web", &uses), [(1000, 0, -900)], "{scheme}");
        let posted = desk.ledger.read_events(&budget_book("/web").unwrap(), store_core::Seq::START, usize::MAX);
        let posted = posted.unwrap().len();
        assert_eq!(desk.told_with("/web", &uses), [(1000, 0, -900)], "{scheme}");
        let now = desk.ledger.read_events(&budget_book("/web").unwrap(), store_core::Seq::START, usize::MAX).unwrap();
        assert_eq!(now.len(), posted, "{scheme}: nothing is written where nothing is new");
    });
}
