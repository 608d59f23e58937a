use session_store::index::{Index, ListQuery};
use std::time::Instant;
fn main() {
    let n: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let folder = std::path::PathBuf::from(std::env::args().nth(3).unwrap());
    for kind in bench::ours::KINDS {
        if !kind.name().contains(&std::env::args().nth(1).unwrap()) {
            continue;
        }
        let own = folder.join(kind.name().trim_matches('*'));
        if !own.exists() {
            std::fs::create_dir_all(&own).unwrap();
            drop(bench::work::list::prepare(kind, &own, n).unwrap());
        }
        let store = kind.open(&own).unwrap();
        let t = Instant::now();
        let index = Index::open(&*store).unwrap();
        index.refresh(&*store).unwrap();
        println!("first {:?}", t.elapsed());
        let query = ListQuery { limit: Some(50), ..ListQuery::default() };
        for _ in 0..5 {
            let t = Instant::now();
            index.refresh(&*store).unwrap();
            let a = t.elapsed();
            let t = Instant::now();
            index.list(&query).unwrap();
            let b = t.elapsed();
            println!("refresh {a:?} list {b:?}");
        }
        if std::env::args().nth(4).is_some() {
            for _ in 0..300 {
                index.refresh(&*store).unwrap();
                index.list(&query).unwrap();
            }
        }
    }
}
