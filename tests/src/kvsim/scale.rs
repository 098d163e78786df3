//! `kvsim scale`: what clusters of many nodes cost, as a page and its figures.

use std::fs;

use anyhow::Context as _;

use super::args::ScaleArgs;
use super::command::print;
use super::progress::bar;
use crate::scale::SurveyOptions;

/// Measures, and writes the page.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn scale(args: &ScaleArgs) -> anyhow::Result<bool> {
    let ScaleArgs { nodes, gossip_nodes, quick, seed, .. } = *args;
    let bar = bar(Some(0));
    let options = SurveyOptions { seed, nodes, gossip_nodes, quick };
    let survey = options.measure(&mut |step, steps, what| {
        bar.set_length(steps as u64);
        bar.set_position(step as u64);
        bar.set_message(what.to_owned());
    });
    bar.finish_and_clear();
    let figures = args.out.join("scale");
    fs::create_dir_all(&figures).with_context(|| format!("cannot make {}", figures.display()))?;
    let write = |path: std::path::PathBuf, text: &str| {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    for (name, svg) in survey.figures()? {
        write(figures.join(name), &svg)?;
    }
    let page = args.out.join("scale.md");
    let by = format!("kvsim scale --nodes {nodes} --gossip-nodes {gossip_nodes} --seed {seed}");
    let by = if quick { by + " --quick" } else { by };
    write(page.clone(), &survey.page(&by))?;
    print(&format!("{}\n", page.display()));
    Ok(true)
}
