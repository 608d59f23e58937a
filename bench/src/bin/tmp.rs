use bench::ours::durable;
use session_store::index::{Index, ListQuery};
use std::time::Instant;
use store_core::{CreateOptions, Durability};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (mode, n, folder) = (a[2].as_str(), a[3].parse::<u64>().unwrap(), std::path::PathBuf::from(&a[4]));
    for kind in bench::ours::KINDS {
        if !kind.name().contains(&a[1]) {
            continue;
        }
        let own = folder.join(kind.name().trim_matches('*'));
        let fresh = !own.exists();
        if fresh {
            std::fs::create_dir_all(&own).unwrap();
        }
        match mode {
            "list" => {
                if fresh {
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
            }
            "open" => {
                let (session, segment) = bench::entries::ids(1);
                if fresh {
                    let store = kind.open(&own).unwrap();
                    store
                        .create_segment(session, segment, &[bench::entries::start(session)], &CreateOptions::default())
                        .unwrap();
                    for at in (0..n).step_by(1000) {
                        store
                            .append_with(
                                session,
                                segment,
                                &bench::entries::entries(at, 1000),
                                &durable(Durability::Synced),
                            )
                            .unwrap();
                    }
                }
                for i in 0..7 {
                    eprintln!("MARK {i}");
                    let t = Instant::now();
                    let store = kind.open(&own).unwrap();
                    let o = t.elapsed();
                    store
                        .append_with(
                            session,
                            segment,
                            &bench::entries::entries(n + i, 1),
                            &durable(Durability::Buffered),
                        )
                        .unwrap();
                    println!("open {o:?} append {:?}", t.elapsed() - o);
                }
            }
            "lookup" => {
                if fresh {
                    let store = kind.open(&own).unwrap();
                    for i in 0..n {
                        let (session, segment) = bench::entries::ids(i);
                        store
                            .create_segment(
                                session,
                                segment,
                                &[bench::entries::start(session)],
                                &CreateOptions { durability: Some(Durability::Buffered) },
                            )
                            .unwrap();
                    }
                }
                let store = kind.open(&own).unwrap();
                for _ in 0..5 {
                    let t = Instant::now();
                    for i in 0..20000u64 {
                        let (_, segment) = bench::entries::ids(i * 7919 % n);
                        store.lookup_session_of(segment).unwrap();
                    }
                    println!("{:?}", t.elapsed() / 20000);
                }
                let mut s = Vec::new();
                for i in 0..20000u64 {
                    s.push(bench::entries::ids(i * 7919 % n).1);
                }
                for _ in 0..5 {
                    let t = Instant::now();
                    for x in &s {
                        store.lookup_session_of(*x).unwrap();
                    }
                    println!("without ids {:?}", t.elapsed() / 20000);
                }
            }
            _ => {}
        }
    }
}
