//! `klr demo`: the main job on embedded parts.
use std::process::ExitCode;
/// x
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
pub(super) async fn run(_args: Args) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
