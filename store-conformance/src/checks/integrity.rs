//! Proving what is stored, checkpoints, rollbacks, events and the collection of blobs. Repairs are in [`damage`](super::damage).

mod checkpoint;
mod collect;
mod event;
mod rollback;
mod verify;

use std::ops::ControlFlow;

use store_core::chain::ChainHead;
use store_core::integrity::{
    Checkpoint, ListedCheckpoint, MaintenanceOptions, NewCheckpoint, Report, Rollback, Scope, VerifyOptions,
};
use store_core::{Backend, Integrity};

pub(crate) use self::checkpoint::*;
pub(crate) use self::collect::*;
pub(crate) use self::event::*;
pub(crate) use self::rollback::*;
pub(crate) use self::verify::*;
use super::fixture::{TIME, Works as _, segment, session};
use crate::Failure;

const NOW: u64 = TIME + 9;

pub(super) fn integrity(store: &dyn Backend) -> Result<&dyn Integrity, Failure> {
    let none = || Failure::new("the store must offer Integrity, or its harness say in `not_offered` that it does not");
    store.integrity().ok_or_else(none)
}

pub(super) fn options() -> MaintenanceOptions {
    MaintenanceOptions { now: NOW, dry_run: false, correlation_id: Some("c-1".to_owned()) }
}

pub(super) fn dry() -> MaintenanceOptions {
    MaintenanceOptions { dry_run: true, ..options() }
}

/// Checkpoints segment 1 of session 1, which has to work.
pub(super) fn checkpoint(store: &dyn Backend) -> Result<Checkpoint, Failure> {
    let new = NewCheckpoint { reason: "a check".to_owned(), name: None, now: NOW };
    integrity(store)?.checkpoint(session(1), segment(1), &new).works("making a checkpoint")
}

/// The checkpoints of segment 1 of session 1.
pub(super) fn checkpoints(store: &dyn Backend) -> Result<Vec<ListedCheckpoint>, Failure> {
    integrity(store)?.checkpoints(session(1), segment(1)).works("listing checkpoints")
}

/// Rolls segment 1 of session 1 back.
pub(super) fn try_rollback(store: &dyn Backend, to: u64) -> Result<store_core::Result<Rollback>, Failure> {
    Ok(integrity(store)?.rollback(session(1), segment(1), to, &options()))
}

/// Rolls segment 1 of session 1 back, which has to work.
pub(super) fn rollback(store: &dyn Backend, to: u64) -> Result<Rollback, Failure> {
    try_rollback(store, to)?.works("rolling back to a checkpoint")
}

/// Verifies the whole store, every text too.
pub(super) fn verify(store: &dyn Backend) -> Result<Report, Failure> {
    verify_with(store, &VerifyOptions { deep: true, threads: 2, ..VerifyOptions::default() })
}

fn verify_with(store: &dyn Backend, options: &VerifyOptions) -> Result<Report, Failure> {
    let all = |_| ControlFlow::Continue(());
    store_core::integrity::verify(integrity(store)?, options, &all).works("verifying")
}

/// Verifies the whole store against a head.
fn verify_head(store: &dyn Backend, head: ChainHead) -> Result<Report, Failure> {
    verify_with(store, &VerifyOptions { expected: vec![head], scope: Scope::Store, ..VerifyOptions::default() })
}
