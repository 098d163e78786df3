//! What scans may hold beside each other, and what they keep between two pages.

use std::cell::Cell;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Io, Sim, SimDisk};
use engine::limits::{SCAN_BYTES_A_RUN, SCANS_IN_FLIGHT_MAX};
use engine::scan::{Page, ScanPlace, ScanRequest};
use schemas::ids::{NamespaceId, Token};

use crate::harness::{Client, KEYS, Write, small_config};

fn request() -> ScanRequest {
    let from = ScanPlace { token: Token(0), after_key: Box::default() };
    let (namespace, to) = (NamespaceId(2), Token(u64::MAX));
    ScanRequest { namespace, from, to, records_max: 1, bytes_max: 1 << 20, now_ms: 0 }
}

/// One page is always read, as many as the memory is for beside it, and a page that ended makes
/// room for the next.
#[test]
fn pages_past_the_memory_for_them_are_turned_away() {
    let runs = 2;
    for (pages_of_memory, pages) in [(0, 1), (1, 1), (3, 3), (100, SCANS_IN_FLIGHT_MAX)] {
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        let env = sim.env(&disk);
        let mut config = small_config();
        config.compaction.level0_tables = 100;
        config.compaction.upper_percent = 1 << 30;
        config.scans_bytes_max = pages_of_memory * runs * SCAN_BYTES_A_RUN;
        sim.block_on(async {
            let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
            for _ in 0..runs {
                for key in 0..KEYS {
                    let write = Write::put(key, client.taken(), 100);
                    client.write_until_taken(write).await.unwrap();
                }
                client.settle().await.unwrap();
                client.store.flush().await.unwrap();
            }
            for round in 0..3 {
                for page in 0..pages {
                    assert!(client.store.scan_now(request()).is_ok(), "page {page}, round {round}");
                }
                assert!(client.store.scan_now(request()).is_err(), "{pages} pages are read");
                while client.pages.len() < pages {
                    client.env.sleep_us(100).await;
                    client.round().await.unwrap();
                }
                client.pages.clear();
            }
        });
    }
}

/// A scan that was told to come back had lost its place: the cursor was taken before there was
/// known to be room, and cursors made way for pages that were turned away. Both opened the tables
/// anew, which is what a full store can use least.
#[test]
fn a_page_that_is_turned_away_keeps_its_place() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = small_config();
    config.scans_bytes_max = 100 * SCAN_BYTES_A_RUN;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        for key in 0..KEYS {
            client.write_until_taken(Write::put(key, client.taken(), 100)).await.unwrap();
        }
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        let next = page(&mut client, request()).await.next.expect("there are more");
        // Pages that leave no cursor behind.
        let whole = || ScanRequest { records_max: 1000, ..request() };
        for _ in 0..SCANS_IN_FLIGHT_MAX {
            client.store.scan_now(whole()).unwrap();
        }
        let next = ScanRequest { from: next, ..request() };
        for _ in 0..3 {
            assert!(client.store.scan_now(next.clone()).is_err());
        }
        while client.pages.len() < SCANS_IN_FLIGHT_MAX {
            client.env.sleep_us(100).await;
            client.round().await.unwrap();
        }
        client.pages.clear();
        let reads = Rc::<Cell<u32>>::default();
        let count = Rc::clone(&reads);
        disk.watch(move |_, io, _| count.set(count.get() + u32::from(io == Io::Read)));
        assert_eq!(page(&mut client, next.clone()).await.rows.len(), 1);
        assert_eq!(reads.get(), 0, "what was read ahead is there");
        page(&mut client, next).await;
        assert!(reads.get() > 0, "a place is left behind for one page");
    });
}

/// Reads a page, with nothing beside it.
async fn page(client: &mut Client, request: ScanRequest) -> Page {
    client.store.scan_now(request).expect("it has room");
    while client.pages.is_empty() {
        client.env.sleep_us(100).await;
        client.round().await.unwrap();
    }
    client.pages.pop().expect("it came").1.unwrap()
}
