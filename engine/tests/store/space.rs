//! A disk that fills up: puts are refused, deletes and reads are not, and it clears by itself.

use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Sim, SimDisk};
use engine::store::{PutError, SpaceLevel};

use crate::harness::{Client, Write, small_config};

#[test]
fn a_full_disk_refuses_puts_and_nothing_else() {
    let disk = SimDisk::new(1);
    let sim = Sim::new(1);
    let env = sim.env(&disk);
    let mut config = small_config();
    config.space.poll_interval_us = 1000;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        client.write(Write::put(1, 0, 100)).unwrap();
        client.settle().await.unwrap();
        let used = {
            let space = disk.space();
            space.total - space.available
        };
        for (percent, level) in [
            (50, SpaceLevel::Ample),
            (86, SpaceLevel::Warn),
            (93, SpaceLevel::BackgroundStopped),
            (98, SpaceLevel::PutsRefused),
        ] {
            disk.set_capacity(used * 100 / percent);
            env.sleep_us(2000).await;
            client.round().await.unwrap();
            assert_eq!(client.store.stats().space, level, "{percent} % used");
            let put = client.write(Write::put(2, client.taken(), 10));
            let refused = level == SpaceLevel::PutsRefused;
            assert_eq!(put, if refused { Err(PutError::DiskFull) } else { Ok(()) });
            client.settle().await.unwrap();
        }
        client.write(Write::delete(1, client.taken())).unwrap();
        client.settle().await.unwrap();
        assert!(client.check_read(1).await && client.check_read(2).await);
        assert_eq!(client.store.stats().puts_disk_full, 1);
        disk.set_capacity(1 << 40);
        env.sleep_us(2000).await;
        client.round().await.unwrap();
        client.write(Write::put(1, client.taken(), 10)).unwrap();
        client.settle().await.unwrap();
    });
}
