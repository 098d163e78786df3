//! The bytes of [`Scaling`].

use std::time::Duration;

use super::{DecodeError, flag, list, name, put_name};
use crate::autoscale::{LatencyTarget, Policy, Settings};
use crate::limits::COPIES_MAX;
use crate::topology::bytes::Reader;
use crate::topology::{Epoch, ScaledDataCentre, Scaling};

/// Milliseconds, of which a policy has less than 2^32.
fn millis(time: Duration) -> u32 {
    time.as_millis() as u32
}

pub(super) fn put_scaling(scaling: Option<&Scaling>, out: &mut Vec<u8>) {
    out.push(scaling.is_some().into());
    let Some(Scaling { policy, dcs }) = scaling else { return };
    let it = policy.settings();
    let numbers = [
        it.nodes_min,
        it.nodes_max,
        it.cpu_target_permille,
        it.disk_target_permille,
        it.band_permille,
        it.add_nodes_max,
        millis(it.add_after),
        millis(it.remove_after),
        millis(it.cooldown),
        millis(it.give_up_after),
        millis(it.stale_after),
        it.stale_permille_max,
    ];
    out.extend(numbers.into_iter().flat_map(u32::to_le_bytes));
    out.push(it.p99.is_some().into());
    if let Some(LatencyTarget { p99_us, cpu_floor_permille }) = it.p99 {
        out.extend(p99_us.to_le_bytes());
        out.extend(cpu_floor_permille.to_le_bytes());
    }
    out.push(dcs.len() as u8);
    for dc in dcs {
        put_name(&dc.name, out);
        out.extend(dc.starting.to_le_bytes());
        out.extend(dc.changed.0.to_le_bytes());
    }
}

pub(super) fn scaling(from: &mut Reader<'_>) -> Result<Option<Box<Scaling>>, DecodeError> {
    if !flag(from.u8()?)? {
        return Ok(None);
    }
    let settings = settings(from)?;
    let policy = Policy::new(settings).map_err(|_| DecodeError::Malformed)?;
    let count = from.u8()?.into();
    let dcs = list(count, COPIES_MAX, || {
        let (name, starting, changed) = (name(from)?, from.u32()?, Epoch(from.u32()?));
        Ok(ScaledDataCentre { name, starting, changed })
    })?;
    Ok(Some(Box::new(Scaling { policy, dcs })))
}

fn settings(from: &mut Reader<'_>) -> Result<Settings, DecodeError> {
    let mut numbers = [0; 12];
    for number in &mut numbers {
        *number = from.u32()?;
    }
    let p99 = if flag(from.u8()?)? {
        Some(LatencyTarget { p99_us: from.u64()?, cpu_floor_permille: from.u32()? })
    } else {
        None
    };
    let [nodes_min, nodes_max, cpu, disk, band, add, times @ .., silent] = numbers;
    let times: [u32; 5] = times;
    let [add_after, remove_after, cooldown, give_up_after, stale_after] =
        times.map(|ms| Duration::from_millis(ms.into()));
    Ok(Settings {
        nodes_min,
        nodes_max,
        cpu_target_permille: cpu,
        disk_target_permille: disk,
        band_permille: band,
        p99,
        add_nodes_max: add,
        add_after,
        remove_after,
        cooldown,
        give_up_after,
        stale_after,
        stale_permille_max: silent,
    })
}
