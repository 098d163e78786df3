//! The survey as a page of Markdown, and its figures.

use std::fmt::Write as _;

use super::figures::{Line, Words, figure};
use super::survey::Survey;

/// What the page says before its tables.
const HEAD: &str = "\
# Scale

What clusters of many nodes cost, by simulation: the state machines that servers run, over a network
of 0.1 to 1 ms without clients. All chance comes from a seed, so the same command gives the same
numbers on every machine. Times are of the simulation. This page was written by
";

/// What it says behind them: numbers that no usual run gives.
const TAIL: &str = "
## How far it goes

Gossip of 10,000 nodes alone takes seven minutes and ten gigabytes, nearly all of it for the start,
where each node learns of each. Where a third of all datagrams is lost, suspicions grow with the
nodes, and what is said of each goes to all nodes: 1,000 nodes at 30 % were given up after four
minutes for less than one.
";

impl Survey {
    /// The page, as the command line `by` wrote it.
    #[must_use]
    pub fn page(&self, by: &str) -> String {
        let mut page = format!("{HEAD}`{by}`.\n\n");
        self.tell_crashes(&mut page).expect(INFALLIBLE);
        self.tell_gossip(&mut page).expect(INFALLIBLE);
        self.tell_changes(&mut page).expect(INFALLIBLE);
        self.tell_joins(&mut page).expect(INFALLIBLE);
        page.push_str(TAIL);
        page
    }

    fn tell_crashes(&self, page: &mut String) -> std::fmt::Result {
        page.push_str(
            "## Crashes\n\n\
             From a crash until half of the others, and all, have the node as down: the longest of \
             some crashes.\nNodes are watched before that while nothing happens: a false positive \
             is a node that has another as\ndown which is up. Loss is of datagrams. Nodes tell no \
             loads here.\nOf more than 300 nodes no more than 10 % is lost: a second of the \
             simulation would take minutes.\n\n![Detection](scale/detection.svg)\n\n\
             | nodes | loss | suspects may refute for | half | all | watched | suspicions an hour \
             | false positives | bytes a node and second |\n|--|--|--|--|--|--|--|--|--|\n",
        );
        for (of, it) in &self.watched {
            let half = it.down_ms.iter().flatten().map(|it| it.0).max();
            let whole = it.down_ms.iter().all(Option::is_some);
            let all = it.down_ms.iter().flatten().map(|it| it.1).max().filter(|_| whole);
            writeln!(
                page,
                "| {} | {} % | {} | {} | {} | {} min | {} | {} | {} |",
                of.nodes,
                of.loss_permille / 10,
                seconds(Some(it.suspicion_ms)),
                seconds(half),
                seconds(all),
                of.quiet_s / 60,
                it.suspicions * 3_600 / of.quiet_s.max(1),
                it.false_positives,
                it.bytes_per_s,
            )?;
        }
        page.push('\n');
        Ok(())
    }

    fn tell_gossip(&self, page: &mut String) -> std::fmt::Result {
        page.push_str(
            "## Gossip alone\n\n\
             Everybody knows everybody, and nothing happens but that one node tells of itself, and \
             later another\ncrashes. Rounds are of 200 ms: until half have heard, and until all \
             have; of the crash, from the\nfirst who has the node as down.\n\n\
             ![Rounds](scale/rounds.svg)\n\n\
             | nodes | a record: half, all | a claim: half, all | bytes a node, for the record | \
             bytes a node and second, quiet |\n|--|--|--|--|--|\n",
        );
        for (nodes, it) in &self.spread {
            match it {
                Some(it) => writeln!(
                    page,
                    "| {nodes} | {}, {} | {}, {} | {} | {} |",
                    it.record_rounds.0,
                    it.record_rounds.1,
                    it.claim_rounds.0,
                    it.claim_rounds.1,
                    it.record_bytes,
                    it.quiet_bytes_per_s,
                )?,
                None => writeln!(page, "| {nodes} | not all in time | | | |")?,
            }
        }
        page.push('\n');
        Ok(())
    }

    fn tell_changes(&self, page: &mut String) -> std::fmt::Result {
        page.push_str(
            "## A change of the topology\n\n\
             One namespace is created; nothing moves. Each node sends 1 Gbit/s, and writes the \
             document in 2 ms.\nTimes are from the decision on until half, and all, have it on \
             disk; gossip is beside the bytes.\n\n![Changes](scale/changes.svg)\n\n\
             | nodes | vnodes | document | decided after | half | all | bytes in all | of the node \
             that sends most | gossip, a node and second |\n|--|--|--|--|--|--|--|--|--|\n",
        );
        for (of, it) in &self.changed {
            let Some(it) = it else {
                writeln!(
                    page,
                    "| {} | {} | not decided in time | | | | | | |",
                    of.nodes, of.vnodes
                )?;
                continue;
            };
            writeln!(
                page,
                "| {} | {} | {} | {} ms | {} ms | {} | {} | {} | {} B |",
                of.nodes,
                of.vnodes,
                bytes(it.document_bytes),
                it.decided_ms,
                it.half_ms,
                it.all_ms.map_or("not in time".to_owned(), |ms| format!("{ms} ms")),
                bytes(it.bytes),
                bytes(it.most_bytes),
                it.gossip_bytes_per_s,
            )?;
        }
        page.push('\n');
        Ok(())
    }

    fn tell_joins(&self, page: &mut String) -> std::fmt::Result {
        page.push_str(
            "## A node joins\n\n\
             What placement plans where each node has 1 TB: three copies, equal weights. No node \
             sends or\nreceives more than 500 Mbit/s of it, so the time is that of the new node's \
             share.\n\n\
             | nodes before | vnodes | copies | bytes | of its share | sources | of the source \
             that sends most | hours |\n|--|--|--|--|--|--|--|--|\n",
        );
        for (of, it) in &self.joined {
            writeln!(
                page,
                "| {} | {} | {} | {} | {} % | {} | {} | {}.{} |",
                of.nodes,
                of.vnodes,
                it.copies,
                bytes(it.bytes),
                it.bytes * 100 / it.share_bytes.max(1),
                it.sources,
                bytes(it.most_bytes),
                it.seconds / 3_600,
                it.seconds % 3_600 / 360,
            )?;
        }
        Ok(())
    }

    /// The figures, each with the name of its file.
    ///
    /// # Errors
    /// What the library that draws says.
    pub fn figures(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let words = Words { title: "A crash is known to all", unit: "seconds" };
        let detection = figure(words, &self.detection_lines())?;
        let words = Words { title: "Rounds of gossip until all have it", unit: "rounds" };
        let of = |name: &str, rounds: fn(&super::detection::Spread) -> u64| Line {
            name: name.into(),
            points: (self.spread.iter())
                .filter_map(|(nodes, it)| Some((*nodes as f64, rounds(it.as_ref()?) as f64)))
                .collect(),
        };
        let lines =
            [of("a record", |it| it.record_rounds.1), of("a claim", |it| it.claim_rounds.1)];
        let rounds = figure(words, &lines)?;
        let words = Words { title: "A decided topology is on disks", unit: "milliseconds" };
        let of = |name: &str, ms: fn(&super::topology::Changed) -> Option<u64>| Line {
            name: name.into(),
            points: (self.changed.iter())
                .filter_map(|(of, it)| Some((of.nodes as f64, ms(it.as_ref()?)? as f64)))
                .collect(),
        };
        let lines = [of("of half", |it| Some(it.half_ms)), of("of all", |it| it.all_ms)];
        let changes = figure(words, &lines)?;
        Ok(vec![("detection.svg", detection), ("rounds.svg", rounds), ("changes.svg", changes)])
    }

    fn detection_lines(&self) -> Vec<Line> {
        let mut lines = Vec::<Line>::new();
        for (of, it) in &self.watched {
            let name = format!("loss {} %", of.loss_permille / 10);
            let Some(ms) = it.down_ms.iter().flatten().map(|it| it.1).max() else { continue };
            let point = (of.nodes as f64, ms as f64 / 1_000.0);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { name, points: vec![point] }),
            }
        }
        lines
    }
}

const INFALLIBLE: &str = "a string takes all that is written to it";

fn seconds(ms: Option<u64>) -> String {
    ms.map_or("not in time".to_owned(), |ms| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100))
}

fn bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
