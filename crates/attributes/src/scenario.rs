//! The function that the attribute stands on.

use proc_macro2::{Group, TokenStream};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, FnArg, PatType, Result, Signature, Visibility};

/// A test function that the attribute can expand. Its body stays unparsed: nothing here needs it, and rustc's own
/// errors about it are better.
pub(crate) struct Scenario {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) body: Group,
}

impl Scenario {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let scenario: Self = syn::parse2(tokens)?;
        match scenario.refusals().reduce(also) {
            None => Ok(scenario),
            Some(error) => Err(error),
        }
    }

    /// The parameter that takes the namespace.
    pub(crate) fn namespace(&self) -> Option<&PatType> {
        match self.signature.inputs.first() {
            Some(FnArg::Typed(parameter)) => Some(parameter),
            Some(FnArg::Receiver(_)) | None => None,
        }
    }

    fn refusals(&self) -> impl Iterator<Item = Error> {
        [self.not_async(), self.has_a_receiver(), self.is_generic(), self.takes_too_much(), self.is_a_test_already()]
            .into_iter()
            .flatten()
    }

    fn not_async(&self) -> Option<Error> {
        let token = self.signature.fn_token;
        let refusal = || Error::new_spanned(token, "the test function must be `async`: write `async fn`");
        self.signature.asyncness.is_none().then(refusal)
    }

    fn has_a_receiver(&self) -> Option<Error> {
        let receiver = self.signature.receiver()?;
        Some(Error::new_spanned(receiver, "a test is a free function: it takes the namespace or nothing, not `self`"))
    }

    fn is_generic(&self) -> Option<Error> {
        let generics = &self.signature.generics;
        let message = "a test function has no generic parameters: nothing could choose them";
        match (&generics.where_clause, generics.params.is_empty()) {
            (_, false) => Some(Error::new_spanned(&generics.params, message)),
            (Some(clause), true) => Some(Error::new_spanned(clause, message)),
            (None, true) => None,
        }
    }

    fn takes_too_much(&self) -> Option<Error> {
        let surplus = self.signature.inputs.iter().nth(1)?;
        let count = self.signature.inputs.len();
        let message = format!("a test function takes one parameter, the namespace, or none; this one takes {count}");
        Some(Error::new_spanned(surplus, message))
    }

    fn is_a_test_already(&self) -> Option<Error> {
        let other = self.attributes.iter().find(|attribute| is_test(attribute))?;
        let path = other.path().to_token_stream().to_string().replace(' ', "");
        let message = format!("remove `#[{path}]`: the function would be run twice, `#[foundation::test]` is enough");
        Some(Error::new_spanned(other, message))
    }
}

impl Parse for Scenario {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Ok(Self {
            attributes: input.call(Attribute::parse_outer)?,
            visibility: input.parse()?,
            signature: input.parse().map_err(not_a_function)?,
            body: input.parse()?,
        })
    }
}

/// `#[test]`, `#[tokio::test]`, this attribute once more: any attribute called `test`.
fn is_test(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "test")
}

fn not_a_function(error: Error) -> Error {
    Error::new(error.span(), format!("`#[foundation::test]` stands on an `async fn`: {error}"))
}

fn also(mut first: Error, other: Error) -> Error {
    first.combine(other);
    first
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn refusal(tokens: TokenStream) -> String {
        Scenario::parse(tokens).err().expect("a refusal").to_string()
    }

    #[test]
    fn the_namespace_may_be_taken_or_left() {
        let takes = Scenario::parse(quote! { async fn scenario(namespace: TestNamespace) {} }).unwrap();
        assert!(takes.namespace().is_some());
        let leaves = Scenario::parse(quote! { async fn scenario() -> Result<(), String> { Ok(()) } }).unwrap();
        assert!(leaves.namespace().is_none());
    }

    #[test]
    fn a_function_that_is_not_async_is_refused() {
        assert_eq!(refusal(quote! { fn scenario() {} }), "the test function must be `async`: write `async fn`");
    }

    #[test]
    fn anything_but_a_function_is_refused() {
        assert_eq!(
            refusal(quote! { struct Scenario; }),
            "`#[foundation::test]` stands on an `async fn`: expected `fn`"
        );
    }

    #[test]
    fn a_second_parameter_is_refused() {
        assert_eq!(
            refusal(quote! { async fn scenario(namespace: TestNamespace, other: u8) {} }),
            "a test function takes one parameter, the namespace, or none; this one takes 2"
        );
    }

    #[test]
    fn a_method_is_refused() {
        assert_eq!(
            refusal(quote! { async fn scenario(&self) {} }),
            "a test is a free function: it takes the namespace or nothing, not `self`"
        );
    }

    #[test]
    fn generic_parameters_are_refused() {
        let expected = "a test function has no generic parameters: nothing could choose them";
        assert_eq!(refusal(quote! { async fn scenario<T>(namespace: T) {} }), expected);
        assert_eq!(refusal(quote! { async fn scenario() where u8: Copy {} }), expected);
    }

    #[test]
    fn a_second_test_attribute_is_refused() {
        assert_eq!(
            refusal(quote! { #[tokio::test] async fn scenario() {} }),
            "remove `#[tokio::test]`: the function would be run twice, `#[foundation::test]` is enough"
        );
    }

    #[test]
    fn several_faults_are_reported_together() {
        let error = Scenario::parse(quote! { #[test] fn scenario<T>(a: T, b: T) {} }).err().expect("a refusal");
        assert_eq!(error.into_iter().count(), 4);
    }

    #[test]
    fn the_body_is_not_looked_into() {
        assert!(Scenario::parse(quote! { async fn scenario() { any tokens, whatever } }).is_ok());
    }
}
