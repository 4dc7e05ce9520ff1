//! Writes a crate with all its mutants at once: each place that may be wrong asks at run time whether it is to be, so that one
//! build does for thousands of mistakes. `rust-mutants TREE REFUSED FILE...` rewrites the files of a copy of the crate in
//! place, adds `src/mutation.rs`, and prints each mutant: its number, file, line, function and mistake, between tabs.
//! REFUSED lists numbers of mutants that are left out, since the compiler did not take them.

mod maker;

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use maker::Maker;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (tree, refused) = arguments
        .next()
        .zip(arguments.next())
        .ok_or("TREE REFUSED FILE...")?;
    let refused = std::fs::read_to_string(refused)?;
    let refused: Result<BTreeSet<u32>, _> = refused.split_whitespace().map(str::parse).collect();
    let mut maker = Maker::new(refused?);
    let tree = Path::new(&tree);
    for file in arguments {
        let path = tree.join(&file);
        let mut code = syn::parse_file(&std::fs::read_to_string(&path)?)?;
        maker.mutate(&file, &mut code);
        std::fs::write(&path, prettyplease::unparse(&code))?;
    }
    for mutant in maker.mutants() {
        println!("{mutant}");
    }
    let module = include_str!("mutation.rs").replace("MUTANTS", &maker.next_id().to_string());
    std::fs::write(tree.join("src/mutation.rs"), module)?;
    let root = tree.join("src/lib.rs");
    let code = std::fs::read_to_string(&root)?;
    // What a mistake makes of constants is seen when it is made.
    let lints = "#![allow(arithmetic_overflow, unconditional_panic)]";
    std::fs::write(root, format!("{lints}\n{code}\nmod mutation;\n"))?;
    Ok(())
}
