//! The mistakes: an operator for another, a sign or a `!` dropped, `min` for `max`, a function that returns at once.

use std::collections::BTreeSet;

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, BinOp, Block, Expr, ExprBinary, ExprMethodCall, ExprRepeat, ExprUnary, File,
    ImplItemFn, Item, ItemFn, ReturnType, Signature, Type, UnOp, parse_quote,
};

/// Rewrites files, and numbers the mistakes in the order that it makes them in.
pub(crate) struct Maker {
    refused: BTreeSet<u32>,
    next: u32,
    file: String,
    function: String,
    mutants: Vec<String>,
}

impl Maker {
    pub(crate) fn new(refused: BTreeSet<u32>) -> Self {
        Self {
            refused,
            next: 0,
            file: String::new(),
            function: String::new(),
            mutants: Vec::new(),
        }
    }

    pub(crate) fn mutate(&mut self, file: &str, code: &mut File) {
        self.file = file.to_owned();
        self.visit_file_mut(code);
    }

    pub(crate) fn mutants(&self) -> &[String] {
        &self.mutants
    }

    pub(crate) fn next_id(&self) -> u32 {
        self.next
    }

    /// The number of a mistake, unless it is refused.
    fn number(&mut self, at: Span, what: &str) -> Option<u32> {
        let number = self.next;
        self.next += 1;
        if self.refused.contains(&number) {
            return None;
        }
        let (file, line, function) = (&self.file, at.start().line, &self.function);
        self.mutants
            .push(format!("{number}\t{file}\t{line}\t{function}\t{what}"));
        Some(number)
    }

    /// `right`, or the first of `wrong` whose mistake is made; each is said to be one at `at`.
    fn choice(&mut self, at: Span, wrong: Vec<(String, Expr)>, right: Expr) -> Expr {
        let wrong: Vec<(u32, Expr)> = wrong
            .into_iter()
            .filter_map(|(what, wrong)| Some((self.number(at, &what)?, wrong)))
            .collect();
        wrong.into_iter().rev().fold(right, |right, (number, wrong)| {
            parse_quote!(if crate::mutation::active(#number) { #wrong } else { #right })
        })
    }

    fn binary(&mut self, binary: &ExprBinary) -> Option<Expr> {
        let ExprBinary {
            left, op, right, ..
        } = binary;
        // What a chain binds is bound by no other operator.
        if matches!(op, BinOp::And(_)) && (binds(left) || binds(right)) {
            return None;
        }
        let named = |new: &BinOp| format!("{} for {}", new.to_token_stream(), op.to_token_stream());
        let others = others(op);
        if others.is_empty() {
            return None;
        }
        let is_lazy = matches!(op, BinOp::And(_) | BinOp::Or(_));
        let is_assigning = others
            .iter()
            .all(|other| other.to_token_stream().to_string().ends_with('='))
            && !is_comparing(op);
        let with = |op: &BinOp| -> Expr {
            if is_assigning {
                parse_quote!(#left #op mutation_r)
            } else if is_lazy {
                parse_quote!(mutation_l #op #right)
            } else {
                parse_quote!(mutation_l #op mutation_r)
            }
        };
        let wrong = others
            .iter()
            .map(|other| (named(other), with(other)))
            .collect();
        let choice = self.choice(op.span(), wrong, with(op));
        Some(if is_assigning {
            parse_quote!((match #right { mutation_r => { #choice } }))
        } else if is_lazy {
            parse_quote!((match #left { mutation_l => #choice }))
        } else if is_comparing(op) {
            parse_quote!((match (&(#left), &(#right)) { (mutation_l, mutation_r) => #choice }))
        } else {
            parse_quote!((match (#left, #right) { (mutation_l, mutation_r) => #choice }))
        })
    }

    fn unary(&mut self, unary: &ExprUnary) -> Option<Expr> {
        let ExprUnary { op, expr, .. } = unary;
        if matches!(**expr, Expr::Lit(_)) || matches!(op, UnOp::Deref(_)) {
            return None;
        }
        let what = format!("{} dropped", op.to_token_stream());
        let wrong = vec![(what, parse_quote!(mutation_v))];
        let choice = self.choice(op.span(), wrong, parse_quote!(#op mutation_v));
        Some(parse_quote!((match #expr { mutation_v => #choice })))
    }

    /// `min` for `max`, and the other way round.
    fn bound(&mut self, call: &ExprMethodCall) -> Option<Expr> {
        let ExprMethodCall {
            receiver,
            method,
            args,
            ..
        } = call;
        let other = match &*method.to_string() {
            "min" => "max",
            "max" => "min",
            _ => return None,
        };
        let argument = args.first()?;
        let (name, other) = (method, syn::Ident::new(other, method.span()));
        let wrong = vec![(
            format!("{other} for {name}"),
            parse_quote!(mutation_l.#other(mutation_r)),
        )];
        let choice = self.choice(
            method.span(),
            wrong,
            parse_quote!(mutation_l.#name(mutation_r)),
        );
        Some(parse_quote!((match (#receiver, #argument) { (mutation_l, mutation_r) => #choice })))
    }

    /// Returns at once, with what its type has that says nothing.
    fn body(&mut self, signature: &Signature, block: &mut Block) {
        let returned: Vec<Expr> = match &signature.output {
            ReturnType::Default => vec![parse_quote!(())],
            ReturnType::Type(_, of) => values(of),
        };
        for value in returned.into_iter().rev() {
            let what = format!("returns {}", value.to_token_stream());
            if let Some(number) = self.number(signature.span(), &what) {
                block.stmts.insert(
                    0,
                    parse_quote!(if crate::mutation::active(#number) { return #value; }),
                );
            }
        }
    }
}

/// Whether it is a `let`, or a chain with one.
fn binds(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(ExprBinary { left, right, .. }) => binds(left) || binds(right),
        _ => false,
    }
}

fn is_comparing(op: &BinOp) -> bool {
    use BinOp::{Eq, Ge, Gt, Le, Lt, Ne};
    matches!(op, Eq(_) | Ne(_) | Lt(_) | Le(_) | Gt(_) | Ge(_))
}

/// What an operator is mistaken for.
fn others(op: &BinOp) -> Vec<BinOp> {
    let all: &[&str] = match &*op.to_token_stream().to_string() {
        "+" => &["-", "*"],
        "-" => &["+", "/"],
        "*" => &["+", "/"],
        "/" => &["*", "%"],
        "%" => &["/", "+"],
        "==" => &["!="],
        "!=" => &["=="],
        "<" => &["<=", ">"],
        "<=" => &["<", ">"],
        ">" => &[">=", "<"],
        ">=" => &[">", "<"],
        "&&" => &["||"],
        "||" => &["&&"],
        "&" => &["|", "^"],
        "|" => &["&", "^"],
        "^" => &["|", "&"],
        "<<" => &[">>"],
        ">>" => &["<<"],
        "+=" => &["-=", "*="],
        "-=" => &["+=", "/="],
        "*=" => &["+=", "/="],
        "/=" => &["*="],
        "%=" => &["/="],
        "|=" => &["&="],
        "&=" => &["|="],
        _ => &[],
    };
    let parsed = all.iter().map(|op| syn::parse_str(op));
    parsed.collect::<Result<_, _>>().expect("operators")
}

/// Values of a type that say nothing.
fn values(of: &Type) -> Vec<Expr> {
    let text = of.to_token_stream().to_string().replace(' ', "");
    match &*text {
        "()" => vec![parse_quote!(())],
        "bool" => vec![parse_quote!(true), parse_quote!(false)],
        "usize" | "u8" | "u16" | "u32" | "u64" | "i32" | "i64" => {
            vec![parse_quote!(0), parse_quote!(1)]
        }
        "f32" | "f64" => vec![parse_quote!(0.0), parse_quote!(1.0)],
        "String" => vec![parse_quote!(String::new())],
        _ if text.starts_with("Vec<") => vec![parse_quote!(Vec::new())],
        _ if text.starts_with("Option<") => vec![parse_quote!(None)],
        _ if text.starts_with("Result<(),") => vec![parse_quote!(Ok(()))],
        _ if text.starts_with("Result<Vec<") => vec![parse_quote!(Ok(Vec::new()))],
        _ if text.starts_with("Result<Option<") => vec![parse_quote!(Ok(None))],
        _ => Vec::new(),
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    let mut texts = attributes
        .iter()
        .map(|attribute| attribute.to_token_stream().to_string());
    texts.any(|text| text.contains("test"))
}

impl Maker {
    /// Makes the mistakes of one function, unless it is a test or runs when it is compiled.
    fn function(&mut self, attrs: &[syn::Attribute], sig: &syn::Signature, block: &mut syn::Block) {
        if sig.constness.is_some() || is_test(attrs) {
            return;
        }
        let outer = std::mem::replace(&mut self.function, sig.ident.to_string());
        visit_mut::visit_block_mut(self, block);
        self.body(sig, block);
        self.function = outer;
    }
}

impl VisitMut for Maker {
    fn visit_item_mut(&mut self, item: &mut Item) {
        match item {
            // What is computed when it is compiled has no other value at run time.
            Item::Const(_) | Item::Static(_) | Item::Enum(_) | Item::Struct(_) | Item::Macro(_) => {
            }
            Item::Mod(module) if is_test(&module.attrs) => {}
            _ => visit_mut::visit_item_mut(self, item),
        }
    }

    fn visit_item_fn_mut(&mut self, function: &mut ItemFn) {
        self.function(&function.attrs, &function.sig, &mut function.block);
    }

    fn visit_impl_item_fn_mut(&mut self, function: &mut ImplItemFn) {
        self.function(&function.attrs, &function.sig, &mut function.block);
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        visit_mut::visit_expr_mut(self, expr);
        let mutated = match expr {
            Expr::Binary(binary) => self.binary(binary),
            Expr::Unary(unary) => self.unary(unary),
            Expr::MethodCall(call) => self.bound(call),
            _ => None,
        };
        if let Some(mutated) = mutated {
            *expr = mutated;
        }
    }

    // The lengths of arrays, patterns and types are constants.
    fn visit_expr_repeat_mut(&mut self, repeat: &mut ExprRepeat) {
        self.visit_expr_mut(&mut repeat.expr);
    }

    fn visit_expr_const_mut(&mut self, _: &mut syn::ExprConst) {}

    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}

    fn visit_trait_item_const_mut(&mut self, _: &mut syn::TraitItemConst) {}

    fn visit_type_mut(&mut self, _: &mut Type) {}

    fn visit_pat_mut(&mut self, _: &mut syn::Pat) {}

    fn visit_generic_argument_mut(&mut self, _: &mut syn::GenericArgument) {}
}
