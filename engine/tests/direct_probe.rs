//! A regression test in a process of its own, because what it is about is cached per thread and
//! device.
//!
//! glommio asks the first file that a thread opens of a device whether the device can be polled,
//! by reading it, and remembers the answer. An empty file answers "yes" where the truth is "no",
//! and from then on every read of every file fails with `EOPNOTSUPP` (95). `DirectEnv::new` opens
//! a file that has content first. Take that out of it and this test fails.
//!
//! A file of zeros is not content enough: a copy of a data directory made with `cp --sparse=always`
//! had a hole in its place, which answers as an empty file does, and the copy could not be started.

use engine::env::buf::AlignedBuf;
use engine::env::direct::{DirectEnv, with_ring};
use engine::env::ring::{Ring, RingConfig};
use engine::env::{ALIGN, Env, File, Open};
use glommio::LocalExecutorBuilder;

#[test]
fn a_new_file_opened_first_does_not_break_reading() {
    // Not the system's temporary directory, which may be in memory and know no direct I/O.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = dir.path().to_path_buf();
    let executor = LocalExecutorBuilder::default().io_memory(64 << 10).spawn(|| async move {
        let ring = Ring::new(RingConfig::default()).unwrap();
        let env = DirectEnv::new(&root, ring.clone(), 1).await.unwrap();
        let file = env.open("new", Open::Create).await.unwrap();
        assert_eq!(file.size().await.unwrap(), 0);

        let mut buf = AlignedBuf::zeroed(40 * ALIGN);
        for (block, bytes) in buf.chunks_mut(ALIGN).enumerate() {
            bytes.fill(block as u8);
        }
        let transfers = async {
            let written = file.write_at(ALIGN as u64, buf).await.unwrap();
            file.sync().await.unwrap();
            let read = file.read_at(ALIGN as u64, written.len()).await.unwrap();
            assert!(read[..] == written[..], "what was written is read, over several requests");
            let end = file.read_at(40 * ALIGN as u64, 8 * ALIGN).await.unwrap();
            assert_eq!(end.len(), ALIGN, "a read stops at the end of the file");
        };
        with_ring(&ring, transfers).await.unwrap();
    });
    executor.unwrap().join().unwrap();
}

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the hole is made by somebody else"
)]
fn a_probe_that_is_a_hole_is_made_anew() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = dir.path().to_path_buf();
    std::fs::File::create(root.join("PROBE")).unwrap().set_len(ALIGN as u64).unwrap();
    std::fs::write(root.join("data"), [7; ALIGN]).unwrap();
    let executor = LocalExecutorBuilder::default().io_memory(64 << 10).spawn(|| async move {
        let ring = Ring::new(RingConfig::default()).unwrap();
        let env = DirectEnv::new(&root, ring.clone(), 1).await.unwrap();
        let file = env.open("data", Open::Read).await.unwrap();
        let read = with_ring(&ring, file.read_at(0, ALIGN)).await.unwrap();
        assert!(read.unwrap()[..] == [7; ALIGN]);
    });
    executor.unwrap().join().unwrap();
}

#[test]
fn directories_answer_as_the_trait_says() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = dir.path().to_path_buf();
    let executor = LocalExecutorBuilder::default().io_memory(64 << 10).spawn(|| async move {
        let ring = Ring::new(RingConfig::default()).unwrap();
        let env = DirectEnv::new(&root, ring.clone(), 1).await.unwrap();
        env.create_dir("d").await.unwrap();
        env.open("d/b", Open::Create).await.unwrap();
        let again = env.open("d/b", Open::Create).await.err().unwrap();
        assert_eq!(again.raw_os_error(), Some(libc::EEXIST));
        env.link("d/b", "d/a").await.unwrap();
        assert_eq!(env.list("d").await.unwrap(), ["a", "b"]);
        let taken = env.link("d/b", "d/a").await.err().unwrap();
        assert_eq!(taken.raw_os_error(), Some(libc::EEXIST));
        env.rename("d/b", "d/a").await.unwrap();
        env.remove("d/b").await.unwrap();
        env.sync_dir("d").await.unwrap();
        assert_eq!(env.list("d").await.unwrap(), ["a"]);
        let missing = env.open("d/b", Open::Read).await.err().unwrap();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        env.remove("d/a").await.unwrap();
        env.remove("d").await.unwrap();
        let space = env.space().unwrap();
        assert!(0 < space.available && space.available <= space.total);
    });
    executor.unwrap().join().unwrap();
}
