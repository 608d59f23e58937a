//! Assets.

use store_core::ledger::{Asset, BookName, EventBody, LedgerError};

use super::handle::at_once;
use super::{Desk, eur, unknown_asset, usd};
use crate::Outcome;
use crate::checks::fixture::{Works as _, holds, refused, same};
use crate::ledgers::LedgerHarness;

pub(crate) fn a_registered_asset_is_given_back(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::empty(harness)?;
    desk.register(&usd())?;
    let given = desk.ledger().asset(&usd().id).works("asking for an asset that is registered")?;
    same("the asset", given, usd())
}

pub(crate) fn an_asset_that_is_registered_twice_is_one(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::empty(harness)?;
    desk.register(&usd())?;
    desk.ledger().register_asset(&usd()).works("registering the same asset again")?;
    same("how many events the reserved book has", desk.events(&BookName::system())?.len(), 1)
}

pub(crate) fn an_asset_of_another_precision_is_refused(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::empty(harness)?;
    desk.register(&usd())?;
    let other = Asset { precision: 3, ..usd() };
    refused!("an asset of another precision", desk.ledger().register_asset(&other), LedgerError::AlreadyExists { .. })
}

pub(crate) fn a_refused_registration_writes_nothing(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::empty(harness)?;
    desk.register(&usd())?;
    let _refused = desk.ledger().register_asset(&Asset { precision: 3, ..usd() });
    same("how many events the reserved book has", desk.events(&BookName::system())?.len(), 1)?;
    same("the asset", desk.ledger().asset(&usd().id).works("asking for an asset")?, usd())
}

pub(crate) fn an_asset_may_have_18_digits_and_no_more(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::empty(harness)?;
    desk.register(&Asset { precision: 18, ..usd() })?;
    refused!(
        "an asset of 19 digits",
        desk.ledger().register_asset(&Asset { precision: 19, ..eur() }),
        LedgerError::InvalidDefinition { .. }
    )
}

pub(crate) fn an_unknown_asset_is_told(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::new(harness)?;
    refused!(
        "asking for an asset that was never registered",
        desk.ledger().asset(&unknown_asset()),
        LedgerError::UnknownAsset { asset } if *asset == unknown_asset()
    )
}

pub(crate) fn assets_are_listed_by_name(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::empty(harness)?;
    desk.register(&usd())?;
    desk.register(&eur())?;
    same("the assets", desk.ledger().list_assets().works("listing assets")?, vec![eur(), usd()])
}

pub(crate) fn assets_are_recorded_in_the_reserved_book(harness: &dyn LedgerHarness) -> Outcome {
    let desk = Desk::empty(harness)?;
    desk.register(&usd())?;
    let bodies: Vec<_> = desk.events(&BookName::system())?.into_iter().map(|event| event.body).collect();
    same("what happened in the reserved book", bodies, vec![EventBody::AssetRegistered(usd())])
}

pub(crate) fn of_registrations_at_once_one_is_recorded(harness: &dyn LedgerHarness) -> Outcome {
    let mut desk = Desk::empty(harness)?;
    desk.reopen_as(2)?;
    let answers = at_once(&desk, |ledger, _| ledger.register_asset(&usd()).is_ok())?;
    holds("the same registration by several succeeds for all", answers.iter().all(|ok| *ok))?;
    same("how many events the reserved book has", desk.events(&BookName::system())?.len(), 1)
}
