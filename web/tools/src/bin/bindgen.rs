//! Makes the module that a page loads of what the compiler made: `bindgen IN.wasm FOLDER`. It is what the program
//! `wasm-bindgen` does, in the version that the lock file names.

use std::path::PathBuf;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(wasm), Some(folder), None) = (paths.next(), paths.next(), paths.next()) else {
        anyhow::bail!("usage: bindgen IN.wasm FOLDER");
    };
    let mut bindgen = Bindgen::new();
    let made = bindgen.input_path(&wasm).web(true)?.typescript(false);
    // Names of functions are a tenth of what is downloaded.
    made.remove_name_section(true);
    made.generate(&folder)
        .with_context(|| format!("{} cannot be made a module", wasm.display()))
}
