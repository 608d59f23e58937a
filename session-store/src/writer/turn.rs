//! The turns of a writer that is held to budgets: what of its entries the ledger is told, and when.
//!
//! The ledger is asked on a thread of its own, in the order in which the writer says what happened. A ledger may keep whoever asks it waiting for as long as its source likes, and
//! no entry waits for that. The price is a second thread for a writer with a budget, and that a turn which begins may have to wait for what came before.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use store_core::{Backend, Lease, LlmUsage, LogEntry, SessionId, StoreError, TimestampMs};

use super::error::WriteError;
use super::options::Submission;
use super::run::attempt;
use super::ticket::{Landed, Promise};
use crate::budget::{Standing, TurnBudget, Turns, Wanted};
use crate::error::{Result, SessionError};
use crate::usage::request_name;

/// The turns of a writer; without a budget nothing is noted of them.
pub(super) struct HeldTurns {
    desk: Option<Desk>,
    standings: Arc<ArcSwap<Vec<Standing>>>,
}

/// The thread that asks the ledger.
struct Desk {
    asks: Sender<Ask>,
    thread: JoinHandle<()>,
}

/// What happened, for the ledger to be told.
enum Ask {
    /// A request used something.
    Used(String, SessionId, Box<LlmUsage>),
    /// The writer has left a segment whose lease this is.
    Left(Lease),
    Begin(Begin),
    End(TimestampMs),
}

/// A turn that is to begin.
struct Begin {
    now: TimestampMs,
    /// Where the writer stands, and holds the lease.
    head: Landed,
    wanted: Wanted,
    promise: Promise,
}

impl HeldTurns {
    /// # Errors
    /// `Backend` if there can be no thread.
    pub(super) fn new(store: &Arc<dyn Backend>, budget: Option<&TurnBudget>) -> Result<Self> {
        let standings = Arc::<ArcSwap<Vec<Standing>>>::default();
        let desk = budget.map(|budget| {
            let (asks, asked) = mpsc::channel();
            let clerk = Clerk {
                store: Arc::clone(store),
                turns: Turns::new(budget.clone()),
                standings: Arc::clone(&standings),
                former: Vec::new(),
            };
            let thread = thread::Builder::new().name("session-ledger".to_owned()).spawn(move || clerk.run(&asked));
            thread.map(|thread| Desk { asks, thread })
        });
        Ok(Self { desk: desk.transpose().map_err(StoreError::backend)?, standings })
    }

    pub(super) fn standings(&self) -> Arc<ArcSwap<Vec<Standing>>> {
        Arc::clone(&self.standings)
    }

    pub(super) const fn are_held(&self) -> bool {
        self.desk.is_some()
    }

    fn tell(&self, ask: Ask) {
        if let Some(desk) = &self.desk {
            // Should the thread be gone, the promise that is dropped here says so.
            drop(desk.asks.send(ask));
        }
    }

    /// The lease of a segment that the writer leaves: it is held as long as a turn is open that reserved there.
    pub(super) fn keep_while_open(&self, lease: Lease) {
        self.tell(Ask::Left(lease));
    }

    /// Notes what was used by entries that are written; answers whether a turn ended with them.
    pub(super) fn note<'e>(&self, written: impl Iterator<Item = (&'e Submission, &'e Landed)>) -> bool {
        if !self.are_held() {
            return false;
        }
        let mut ended = false;
        for (Submission { entry, key }, Landed { location, position }) in written {
            match entry {
                LogEntry::LlmUsage(usage) => {
                    let place = (location.session_id, location.segment_id, position.seq);
                    let name = request_name(place, key.as_deref(), usage);
                    self.tell(Ask::Used(name, location.session_id, Box::new(usage.clone())));
                }
                LogEntry::TurnEnd(_) | LogEntry::RunCompleted(_) | LogEntry::RunErrored(_) => ended = true,
                _ => {}
            }
        }
        ended
    }

    /// Begins a turn where the writer stands; the promise is kept when the ledger has answered.
    pub(super) fn begin(&self, now: TimestampMs, head: Landed, wanted: Wanted, promise: Promise) {
        if self.are_held() {
            self.tell(Ask::Begin(Begin { now, head, wanted, promise }));
        } else {
            promise.keep(Ok(head));
        }
    }

    /// Settles what is open, without waiting for it. What fails is tried again with the next turn, which tells why; and should there be none, the reservation is given back
    /// when the writer is gone, and the requests are counted when somebody reads the log.
    pub(super) fn settle(&self, now: TimestampMs) {
        self.tell(Ask::End(now));
    }

    /// Settles what is open, and waits for it.
    pub(super) fn finish(mut self, now: TimestampMs) {
        self.settle(now);
        if let Some(Desk { asks, thread }) = self.desk.take() {
            drop(asks);
            // What it could have said by panicking changes nothing of what is written.
            drop(thread.join());
        }
    }
}

/// What the thread has.
struct Clerk {
    store: Arc<dyn Backend>,
    turns: Turns,
    standings: Arc<ArcSwap<Vec<Standing>>>,
    /// Leases of segments that the writer has left during the turn: they say that who reserved lives.
    former: Vec<Lease>,
}

impl Clerk {
    fn run(mut self, asked: &Receiver<Ask>) {
        while let Ok(first) = asked.recv() {
            let mut ended = None;
            // What has come in meanwhile is settled together.
            for ask in std::iter::once(first).chain(asked.try_iter()) {
                match ask {
                    Ask::Used(request, session, usage) => self.turns.note(request, session, &usage),
                    Ask::Left(lease) if self.turns.is_open() => self.former.push(lease),
                    Ask::Left(lease) => drop(lease),
                    Ask::End(now) => ended = Some(now),
                    Ask::Begin(begin) => {
                        // It settles what came before.
                        ended = None;
                        self.begin(begin);
                    }
                }
            }
            if let Some(now) = ended {
                self.settle(now);
            }
        }
    }

    fn begin(&mut self, Begin { now, head, wanted, promise }: Begin) {
        let begun = attempt(|| self.turns.begin(&*self.store, now, head, wanted));
        promise.keep(match begun {
            Ok(standings) => {
                self.standings.store(Arc::new(standings));
                // The turn before is settled, and this one's owner holds the lease of where it began.
                self.former.clear();
                Ok(head)
            }
            Err(SessionError::OverBudget(over)) => Err(WriteError::OverBudget(over)),
            Err(error) => Err(WriteError::NoTurn(Arc::new(error))),
        });
    }

    fn settle(&mut self, now: TimestampMs) {
        if let Ok(Some(standings)) = attempt(|| self.turns.settle(&*self.store, now)) {
            self.standings.store(Arc::new(standings));
        }
        if !self.turns.is_open() {
            self.former.clear();
        }
    }
}
