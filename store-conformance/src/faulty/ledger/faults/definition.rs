//! Faults of assets and accounts.

use store_core::Seq;
use store_core::ledger::LedgerError::{AlreadyExists, InvalidDefinition, UnknownAsset, UnknownBook};
use store_core::ledger::{Account, AccountId, Asset, BookName, EventBody, Known, Ledger as _};

use super::super::FaultyLedger;
use super::super::handle::Rules;
use super::{fault, opened};

/// In the order of the contract.
pub(super) const LEDGERS: &[FaultyLedger] = &[
    fault!("an_asset_is_given_with_a_precision_of_nine", asset: |at, id| {
        at.inner.asset(id).map(|asset| Asset { precision: 9, ..asset })
    }),
    fault!("the_same_registration_is_refused", register: |at, asset| {
        match at.inner.asset(&asset.id) {
            Ok(_) => Err(AlreadyExists { what: Known::Asset(asset.id.clone()) }),
            Err(_) => at.inner.register_asset(asset),
        }
    }),
    fault!("any_registration_of_a_known_asset_is_taken", register: |at, asset| {
        match at.inner.register_asset(asset) {
            Err(AlreadyExists { .. }) => Ok(()),
            answer => answer,
        }
    }),
    fault!("a_refused_registration_registers_something", register: |at, asset| {
        let answer = at.inner.register_asset(asset);
        if matches!(answer, Err(AlreadyExists { .. })) {
            at.inner.register_asset(&Asset { id: "odd".parse()?, precision: 0 })?;
        }
        answer
    }),
    fault!("precisions_are_cut_to_18", register: |at, asset| {
        at.inner.register_asset(&Asset { precision: asset.precision.min(18), ..asset.clone() })
    }),
    fault!("precisions_end_at_17", register: |at, asset| {
        if asset.precision > 17 {
            return Err(InvalidDefinition { detail: String::new() });
        }
        at.inner.register_asset(asset)
    }),
    fault!("an_unknown_asset_has_no_digits", asset: |at, id| match at.inner.asset(id) {
        Err(UnknownAsset { .. }) => Ok(Asset { id: id.clone(), precision: 0 }),
        answer => answer,
    }),
    fault!("assets_are_listed_as_they_were_registered", assets: |at| {
        let events = at.inner.read_events(&BookName::system(), Seq(1), usize::MAX)?;
        let asset = |body| if let EventBody::AssetRegistered(asset) = body { Some(asset) } else { None };
        Ok(events.into_iter().filter_map(|event| asset(event.body)).collect())
    }),
    fault!("the_reserved_book_tells_nothing", events: |at, book, from, limit| {
        if book.is_reserved() { Ok(Vec::new()) } else { at.inner.read_events(book, from, limit) }
    }),
    fault!("a_registration_beside_another_is_refused", register: |at, asset| at.beside(|was_busy| {
        if was_busy {
            return Err(AlreadyExists { what: Known::Asset(asset.id.clone()) });
        }
        at.inner.register_asset(asset)
    })),
    fault!("accounts_are_listed_without_their_minimum", accounts: |at, book| {
        let accounts = at.inner.list_accounts(book)?;
        Ok(accounts.into_iter().map(|account| Account { min_balance: None, ..account }).collect())
    }),
    fault!("the_same_opening_is_refused", open: |at, account| {
        if opened(at, &account.id).is_some() {
            return Err(AlreadyExists { what: Known::Account(account.id.clone()) });
        }
        at.inner.open_account(account)
    }),
    fault!("an_opening_with_another_minimum_is_taken", open: |at, account| {
        let known = opened(at, &account.id).and_then(|known| known.min_balance);
        let taken = Account { min_balance: known, ..account.clone() };
        at.inner.open_account(if opened(at, &account.id).is_some() { &taken } else { account })
    }),
    fault!("the_asset_of_an_account_is_looked_at_first", open: |at, account| {
        if !account.id.book().is_reserved() {
            at.inner.asset(&account.asset)?;
        }
        at.inner.open_account(account)
    }),
    fault!("an_account_of_an_unknown_asset_is_opened", open: |at, account| match at.inner.open_account(account) {
        Err(UnknownAsset { .. }) => Ok(()),
        answer => answer,
    }),
    fault!("a_refused_account_leaves_its_book", open: |at, account| {
        let answer = at.inner.open_account(account);
        if matches!(answer, Err(UnknownAsset { .. }))
            && !at.inner.list_books()?.contains(account.id.book())
            && let Some(asset) = at.inner.list_assets()?.first()
        {
            at.inner.open_account(&Account { asset: asset.id.clone(), ..account.clone() })?;
        }
        answer
    }),
    fault!("the_reserved_book_is_looked_at_last", open: |at, account| {
        if account.id.book().is_reserved() {
            at.inner.asset(&account.asset)?;
        }
        at.inner.open_account(account)
    }),
    fault!("the_minimum_of_a_clearing_account_is_passed_over", open: |at, account| {
        match at.inner.open_account(account) {
            Err(InvalidDefinition { .. }) => at.inner.open_account(&Account { min_balance: None, ..account.clone() }),
            answer => answer,
        }
    }),
    fault!("an_opening_beside_another_is_refused", open: |at, account| at.beside(|was_busy| {
        if was_busy {
            return Err(AlreadyExists { what: Known::Account(account.id.clone()) });
        }
        at.inner.open_account(account)
    })),
    fault!("accounts_are_listed_as_they_were_opened", accounts: |at, book| {
        let events = at.inner.read_events(book, Seq(1), usize::MAX)?;
        let account = |body| if let EventBody::AccountOpened(account) = body { Some(account) } else { None };
        Ok(events.into_iter().filter_map(|event| account(event.body)).collect())
    }),
    fault!("the_accounts_of_an_unused_book_are_an_error", accounts: |at, book| {
        if !at.inner.list_books()?.contains(book) {
            return Err(UnknownBook { book: book.clone() });
        }
        at.inner.list_accounts(book)
    }),
    fault!("a_balance_is_asked_of_every_book", balance: |at, account, as_of| {
        let mut balance = at.inner.balance(account, as_of)?;
        for book in at.inner.list_books()?.iter().filter(|book| *book != account.book()) {
            let other = AccountId::new(book, account.path())?;
            balance.amount += at.inner.balance(&other, as_of).map_or(0, |balance| balance.amount);
        }
        Ok(balance)
    }),
    fault!("a_path_ends_at_its_first_colon", balance: |at, account, as_of| {
        let path = account.path().split_once(':').map_or(account.path(), |(path, _)| path);
        at.inner.balance(&AccountId::new(account.book(), path)?, as_of)
    }),
    fault!("paths_are_compared_without_case", balance: |at, account, as_of| {
        let path = account.path().to_lowercase();
        at.inner.balance(&AccountId::new(account.book(), &path)?, as_of)
    }),
];
