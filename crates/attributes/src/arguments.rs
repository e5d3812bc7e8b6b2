//! The arguments in the attribute's parentheses.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, Ident, LitBool, LitInt, LitStr, Path, Result, Token};

const KNOWN: &str = "`flavor`, `worker_threads`, `start_paused`, `allow_leaks`, `leak_timeout_ms`, `builder`, `crate`";

/// The arguments as they were given; `None` stands for the default of the code that reads it.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) flavor: Option<Flavor>,
    pub(crate) worker_threads: Option<LitInt>,
    pub(crate) start_paused: Option<LitBool>,
    pub(crate) allow_leaks: Option<LitBool>,
    pub(crate) leak_timeout_ms: Option<LitInt>,
    pub(crate) builder: Option<Expr>,
    pub(crate) foundation: Option<FoundationPath>,
}

/// The kind of tokio's runtime, with its literal.
pub(crate) enum Flavor {
    CurrentThread(LitStr),
    MultiThread(LitStr),
}

impl Flavor {
    fn named(literal: LitStr) -> Result<Self> {
        match literal.value().as_str() {
            "current_thread" => Ok(Self::CurrentThread(literal)),
            "multi_thread" => Ok(Self::MultiThread(literal)),
            other => Err(Error::new(
                literal.span(),
                format!("unknown flavor `{other}`; it is \"current_thread\" or \"multi_thread\""),
            )),
        }
    }

    pub(crate) fn literal(&self) -> &LitStr {
        let (Self::CurrentThread(literal) | Self::MultiThread(literal)) = self;
        literal
    }
}

/// The path of the crate `foundation`, as the literal that tokio's attribute wants and as a path.
pub(crate) struct FoundationPath {
    pub(crate) literal: LitStr,
    pub(crate) path: Path,
}

impl FoundationPath {
    fn at(literal: LitStr) -> Result<Self> {
        let path = literal.parse_with(Path::parse_mod_style).map_err(|_| {
            let wrong = literal.value();
            Error::new(
                literal.span(),
                format!("`crate` wants a path, as in `crate = \"my_crate::foundation\"`, not \"{wrong}\""),
            )
        })?;
        Ok(Self { literal, path })
    }
}

impl Arguments {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        syn::parse2(tokens)
    }

    fn parse_next(&mut self, input: ParseStream<'_>) -> Result<()> {
        let name = input.call(Ident::parse_any)?;
        match name.to_string().as_str() {
            "flavor" => {
                let literal = value(&name, input, "flavor = \"multi_thread\"")?;
                set(&mut self.flavor, &name, Flavor::named(literal)?)
            }
            "worker_threads" => {
                let threads = value(&name, input, "worker_threads = 2")?;
                set(&mut self.worker_threads, &name, at_least(1, &name, threads)?)
            }
            "start_paused" => set(&mut self.start_paused, &name, value(&name, input, "start_paused = true")?),
            "allow_leaks" => set(&mut self.allow_leaks, &name, flag(&name, input)?),
            "leak_timeout_ms" => {
                let bound = value(&name, input, "leak_timeout_ms = 500")?;
                set(&mut self.leak_timeout_ms, &name, at_least(0, &name, bound)?)
            }
            "builder" => set(&mut self.builder, &name, value(&name, input, "builder = my_builder()")?),
            "crate" => {
                let literal = value(&name, input, "crate = \"my_crate::foundation\"")?;
                set(&mut self.foundation, &name, FoundationPath::at(literal)?)
            }
            unknown => {
                Err(Error::new(name.span(), format!("unknown argument `{unknown}`; the known ones are {KNOWN}")))
            }
        }
    }

    /// tokio refuses these two as well, but names its own attribute in the message.
    fn refuse_what_the_runtime_cannot_do(&self) -> Result<()> {
        match (&self.flavor, &self.worker_threads, &self.start_paused) {
            (None | Some(Flavor::CurrentThread(_)), Some(threads), _) => Err(Error::new(
                threads.span(),
                "`worker_threads` needs `flavor = \"multi_thread\"`: the current_thread runtime has no workers",
            )),
            (Some(Flavor::MultiThread(_)), _, Some(paused)) => Err(Error::new(
                paused.span(),
                "`start_paused` needs the current_thread flavor: tokio cannot pause the clock of a multi_thread runtime",
            )),
            _ => Ok(()),
        }
    }
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !input.is_empty() {
            arguments.parse_next(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        arguments.refuse_what_the_runtime_cannot_do()?;
        Ok(arguments)
    }
}

fn set<T>(slot: &mut Option<T>, name: &Ident, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::new(name.span(), format!("`{name}` is given twice"))),
    }
}

fn value<T: Parse>(name: &Ident, input: ParseStream<'_>, example: &str) -> Result<T> {
    if input.parse::<Option<Token![=]>>()?.is_none() {
        return Err(Error::new(name.span(), format!("`{name}` wants a value, as in `{example}`")));
    }
    input
        .parse()
        .map_err(|error| Error::new(error.span(), format!("wrong value for `{name}`: {error}, as in `{example}`")))
}

fn flag(name: &Ident, input: ParseStream<'_>) -> Result<LitBool> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(LitBool::new(true, name.span()));
    }
    value(name, input, "allow_leaks = true")
}

/// A suffix is refused too: `5s` would be taken for 5 milliseconds.
fn at_least(least: u64, name: &Ident, literal: LitInt) -> Result<LitInt> {
    match literal.base10_parse::<u64>() {
        Ok(number) if number >= least && literal.suffix().is_empty() => Ok(literal),
        _ => Err(Error::new(
            literal.span(),
            format!("`{name}` wants a plain integer of at least {least}, not `{literal}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn refusal(tokens: TokenStream) -> String {
        Arguments::parse(tokens).err().expect("a refusal").to_string()
    }

    #[test]
    fn everything_may_be_left_out() {
        let arguments = Arguments::parse(quote!()).unwrap();
        assert!(arguments.flavor.is_none() && arguments.builder.is_none() && arguments.foundation.is_none());
    }

    #[test]
    fn all_that_go_together_are_read_in_any_order_with_a_trailing_comma() {
        let arguments = Arguments::parse(quote! {
            crate = "my::foundation", builder = my_builder(1, 2), leak_timeout_ms = 500, allow_leaks = false,
            worker_threads = 2, flavor = "multi_thread",
        });
        let arguments = arguments.unwrap();
        assert_eq!(arguments.leak_timeout_ms.unwrap().base10_digits(), "500");
        assert_eq!(arguments.worker_threads.unwrap().base10_digits(), "2");
        assert_eq!(arguments.flavor.unwrap().literal().value(), "multi_thread");
        assert_eq!(arguments.foundation.unwrap().path.segments.len(), 2);
        assert!(!arguments.allow_leaks.unwrap().value);
    }

    #[test]
    fn allow_leaks_may_be_a_bare_word() {
        let arguments = Arguments::parse(quote!(allow_leaks, leak_timeout_ms = 1)).unwrap();
        assert!(arguments.allow_leaks.unwrap().value);
    }

    #[test]
    fn the_clock_may_be_paused_on_the_current_thread() {
        assert!(Arguments::parse(quote!(start_paused = true)).is_ok());
        assert!(Arguments::parse(quote!(start_paused = true, flavor = "current_thread")).is_ok());
    }

    #[test]
    fn an_unknown_argument_is_refused_with_the_known_ones() {
        assert_eq!(
            refusal(quote!(paused = true)),
            "unknown argument `paused`; the known ones are `flavor`, `worker_threads`, `start_paused`, `allow_leaks`, \
             `leak_timeout_ms`, `builder`, `crate`"
        );
    }

    #[test]
    fn an_argument_given_twice_is_refused() {
        assert_eq!(refusal(quote!(allow_leaks, allow_leaks = false)), "`allow_leaks` is given twice");
        assert_eq!(refusal(quote!(crate = "a", crate = "a")), "`crate` is given twice");
    }

    #[test]
    fn an_unknown_flavor_is_refused_with_the_known_ones() {
        assert_eq!(
            refusal(quote!(flavor = "local")),
            "unknown flavor `local`; it is \"current_thread\" or \"multi_thread\""
        );
    }

    #[test]
    fn worker_threads_need_the_multi_thread_runtime() {
        let expected = "`worker_threads` needs `flavor = \"multi_thread\"`: the current_thread runtime has no workers";
        assert_eq!(refusal(quote!(worker_threads = 2)), expected);
        assert_eq!(refusal(quote!(worker_threads = 2, flavor = "current_thread")), expected);
    }

    #[test]
    fn start_paused_is_refused_on_the_multi_thread_runtime() {
        let expected =
            "`start_paused` needs the current_thread flavor: tokio cannot pause the clock of a multi_thread runtime";
        assert_eq!(refusal(quote!(start_paused = true, flavor = "multi_thread")), expected);
        assert_eq!(refusal(quote!(start_paused = false, flavor = "multi_thread")), expected);
    }

    #[test]
    fn a_missing_value_is_shown_by_example() {
        assert_eq!(refusal(quote!(start_paused)), "`start_paused` wants a value, as in `start_paused = true`");
        assert_eq!(refusal(quote!(flavor("x"))), "`flavor` wants a value, as in `flavor = \"multi_thread\"`");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_shown_by_example() {
        assert_eq!(
            refusal(quote!(leak_timeout_ms = "500")),
            "wrong value for `leak_timeout_ms`: expected integer literal, as in `leak_timeout_ms = 500`"
        );
        assert_eq!(
            refusal(quote!(allow_leaks = 1)),
            "wrong value for `allow_leaks`: expected boolean literal, as in `allow_leaks = true`"
        );
    }

    #[test]
    fn numbers_are_plain_integers() {
        assert_eq!(
            refusal(quote!(worker_threads = 0)),
            "`worker_threads` wants a plain integer of at least 1, not `0`"
        );
        assert_eq!(
            refusal(quote!(leak_timeout_ms = 5s)),
            "`leak_timeout_ms` wants a plain integer of at least 0, not `5s`"
        );
    }

    #[test]
    fn the_crate_is_a_path() {
        assert_eq!(
            refusal(quote!(crate = "my crate")),
            "`crate` wants a path, as in `crate = \"my_crate::foundation\"`, not \"my crate\""
        );
    }
}
