//! The peers that run in processes of their own, and their locations.
//!
//! A peer whose dependencies force features on ours is measured in a build of its own, outside the workspace: it would
//! change what is measured.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::external::External;

/// The processes that run, and for the others the reasons why they do not.
pub(crate) fn externals(build: bool) -> (Vec<External>, Vec<String>) {
    let (mut running, mut absent) = (Vec::new(), Vec::new());
    for started in [rust(build), elixir()] {
        match started {
            Ok(external) => running.push(external),
            Err(reason) => absent.push(reason),
        }
    }
    (running, absent)
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn rust(build: bool) -> Result<External, String> {
    let without = |reason: String| format!("without kameo and ractor-supervisor: {reason}");
    let target = target().ok_or_else(|| without("this program does not stand in a target directory".to_owned()))?;
    if build {
        build_in(&target).map_err(without)?;
    }
    let program = target.join("release").join("foundation-bench-peers");
    if !program.exists() {
        return Err(without("they are not built; --peers builds them".to_owned()));
    }
    External::start(Command::new(program)).map_err(|error| without(error.to_string()))
}

/// A directory beside cargo's output for the workspace, and apart from it.
fn target() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    Some(program.parent()?.parent()?.join("bench-peers"))
}

fn build_in(target: &Path) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = sources().join("rust").join("Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--manifest-path"]).arg(manifest);
    // The environment that cargo set for this program's build does not apply to another build.
    command.arg("--target-dir").arg(target).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo could not build them: {status}")),
        Err(error) => Err(format!("cargo could not be run: {error}")),
    }
}

fn elixir() -> Result<External, String> {
    let mut command = Command::new("elixir");
    command.arg(sources().join("elixir").join("peer.exs"));
    External::start(command).map_err(|error| format!("without Elixir: {error}"))
}
