//! Rust as tokens: what rules look at, so that comments, strings and macros do not deceive them.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::sources::Source;

/// Every run of sibling tokens of a file, the file's own items first, then what is in its braces,
/// brackets and parentheses, macros included.
pub(crate) fn runs(source: &Source) -> Vec<Vec<TokenTree>> {
    let stream = TokenStream::from_str(&source.text)
        .unwrap_or_else(|error| panic!("{}: not Rust: {error}", source.path));
    let mut runs = Vec::new();
    let mut pending = vec![stream];
    while let Some(stream) = pending.pop() {
        let run: Vec<TokenTree> = stream.into_iter().collect();
        pending.extend(run.iter().filter_map(group).map(Group::stream));
        runs.push(run);
    }
    runs
}

/// The group, if the token is one.
pub(crate) fn group(token: &TokenTree) -> Option<&Group> {
    match token {
        TokenTree::Group(group) => Some(group),
        _ => None,
    }
}

/// Whether `token` is the identifier or keyword `name`.
pub(crate) fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

/// Whether `token` is the punctuation mark `mark`.
pub(crate) fn is_punct(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// Whether `token` is a group in braces.
pub(crate) fn is_block(token: &TokenTree) -> bool {
    group(token).is_some_and(|group| group.delimiter() == Delimiter::Brace)
}

/// The line a token starts on, from 1.
pub(crate) fn line(token: &TokenTree) -> usize {
    token.span().start().line
}

/// Lines, from 1, on which the identifier or keyword `name` stands.
pub(crate) fn lines_with(source: &Source, name: &str) -> Vec<usize> {
    let mut lines: Vec<usize> =
        runs(source).iter().flatten().filter(|token| is_ident(token, name)).map(line).collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// Contents of each `#[..]` and `#![..]`, with its line.
pub(crate) fn attributes(source: &Source) -> Vec<(usize, Vec<TokenTree>)> {
    let mut found = Vec::new();
    for run in runs(source) {
        for (index, token) in run.iter().enumerate() {
            if !is_punct(token, '#') {
                continue;
            }
            let inner = run.get(index + 1).is_some_and(|next| is_punct(next, '!'));
            let content = run.get(index + 1 + usize::from(inner)).and_then(group);
            if let Some(content) = content.filter(|it| it.delimiter() == Delimiter::Bracket) {
                found.push((line(token), content.stream().into_iter().collect()));
            }
        }
    }
    found
}

/// A function with a body.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of its `fn`.
    pub(crate) line: usize,
    /// Lines from its `fn` to its closing brace, both counted.
    pub(crate) lines: usize,
}

/// All functions that have a body, those in macros included.
pub(crate) fn functions(source: &Source) -> Vec<Function> {
    let mut found = Vec::new();
    for run in runs(source) {
        for (index, token) in run.iter().enumerate() {
            let Some(TokenTree::Ident(name)) = run.get(index + 1) else { continue };
            if !is_ident(token, "fn") {
                continue;
            }
            let end = run[index..].iter().find(|token| is_punct(token, ';') || is_block(token));
            if let Some(body) = end.and_then(group) {
                let lines = body.span_close().end().line - line(token) + 1;
                found.push(Function { name: name.to_string(), line: line(token), lines });
            }
        }
    }
    found
}

#[test]
fn tokens_are_found_in_macros_and_not_in_comments_or_strings() {
    let source = Source::snippet(
        "a.rs",
        "// unsafe\n/* unsafe */ const A: &str = \"unsafe\";\nm! { fn f() { unsafe { g() } } }\n",
    );
    assert_eq!(lines_with(&source, "unsafe"), [3]);
    assert_eq!(functions(&source).len(), 1);
}

#[test]
fn a_function_without_a_body_is_not_measured() {
    let source = Source::snippet("a.rs", "trait T { fn f(&self);\n fn g(&self) {\n }\n }");
    let found: Vec<_> =
        functions(&source).into_iter().map(|it| (it.name, it.line, it.lines)).collect();
    assert_eq!(found, [("g".to_owned(), 2, 2)]);
}
