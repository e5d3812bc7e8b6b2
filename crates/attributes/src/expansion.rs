//! The expansion of both: a `#[tokio::test]` that hands the function to `foundation::testing::run`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{LitStr, Result};

use crate::arguments::{Arguments, FoundationPath};
use crate::scenario::Scenario;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    match (Arguments::parse(arguments), Scenario::parse(item)) {
        (Ok(arguments), Ok(scenario)) => Ok(test_function(&arguments, &scenario)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(mut error), Err(other)) => {
            error.combine(other);
            Err(error)
        }
    }
}

/// The user's function moves, signature and all, into one of the same name, so that every span in it, its `?` and its
/// type errors keep their positions, and no name of ours is in its scope.
fn test_function(arguments: &Arguments, scenario: &Scenario) -> TokenStream {
    let Scenario { attributes, visibility, signature, body } = scenario;
    let (name, output) = (&signature.ident, &signature.output);
    let foundation = foundation_path(arguments);
    let tokio_test = tokio_test(arguments);
    let options = options(arguments, &name.unraw().to_string());
    let call = call(arguments, scenario);
    quote! {
        #[#tokio_test]
        #(#attributes)*
        #visibility async fn #name() #output {
            #signature #body

            #foundation::testing::run(#options, #call).await
        }
    }
}

/// A closure instead of the function's name: a parameter of another type is then reported as such, at that type.
fn call(arguments: &Arguments, scenario: &Scenario) -> TokenStream {
    let name = &scenario.signature.ident;
    let foundation = foundation_path(arguments);
    let Some(parameter) = scenario.namespace() else {
        return quote!(|_: #foundation::TestNamespace| #name());
    };
    let at_the_type = Span::call_site().located_at(parameter.ty.span());
    let namespace = quote_spanned!(at_the_type=> namespace);
    quote!(|#namespace: #foundation::TestNamespace| #name(#namespace))
}

fn tokio_test(arguments: &Arguments) -> TokenStream {
    let foundation = foundation_path(arguments);
    let flavor = arguments.flavor.as_ref().map(|flavor| flavor.literal()).map(|value| quote!(flavor = #value,));
    let worker_threads = arguments.worker_threads.as_ref().map(|value| quote!(worker_threads = #value,));
    let start_paused = arguments.start_paused.as_ref().map(|value| quote!(start_paused = #value,));
    let tokio = tokio_literal(arguments.foundation.as_ref());
    quote!(#foundation::__private::tokio::test(#flavor #worker_threads #start_paused crate = #tokio))
}

fn options(arguments: &Arguments, name: &str) -> TokenStream {
    let foundation = foundation_path(arguments);
    let builder = arguments.builder.as_ref().map(|builder| quote!(.builder(#builder)));
    let allow_leaks = arguments.allow_leaks.as_ref().filter(|flag| flag.value).map(|_| quote!(.allow_leaks()));
    let leak_timeout = arguments
        .leak_timeout_ms
        .as_ref()
        .map(|bound| quote!(.leak_timeout(::core::time::Duration::from_millis(#bound))));
    quote!(#foundation::testing::TestOptions::new(#name) #builder #allow_leaks #leak_timeout)
}

fn foundation_path(arguments: &Arguments) -> TokenStream {
    match &arguments.foundation {
        Some(FoundationPath { path, .. }) => path.to_token_stream(),
        None => quote!(::foundation),
    }
}

fn tokio_literal(foundation: Option<&FoundationPath>) -> LitStr {
    let (path, span) = match foundation {
        Some(FoundationPath { literal, .. }) => (literal.value(), literal.span()),
        None => ("::foundation".to_owned(), Span::call_site()),
    };
    LitStr::new(&format!("{path}::__private::tokio"), span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(arguments: TokenStream, item: TokenStream) -> String {
        expand(arguments, item).unwrap().to_string()
    }

    #[test]
    fn a_plain_test_names_nothing_but_foundation() {
        let expected = quote! {
            #[::foundation::__private::tokio::test(crate = "::foundation::__private::tokio")]
            async fn scenario() {
                async fn scenario(namespace: TestNamespace) { body(namespace) }

                ::foundation::testing::run(
                    ::foundation::testing::TestOptions::new("scenario"),
                    |namespace: ::foundation::TestNamespace| scenario(namespace)
                ).await
            }
        };
        let item = quote! { async fn scenario(namespace: TestNamespace) { body(namespace) } };
        assert_eq!(expanded(quote!(), item), expected.to_string());
    }

    #[test]
    fn a_test_without_a_parameter_ignores_the_namespace() {
        let item = quote! { async fn scenario() {} };
        assert!(expanded(quote!(), item).contains(&quote!(|_: ::foundation::TestNamespace| scenario()).to_string()));
    }

    #[test]
    fn every_argument_lands_where_it_belongs() {
        let arguments = quote! {
            flavor = "multi_thread", worker_threads = 2, allow_leaks = true, leak_timeout_ms = 500,
            builder = my_builder(), crate = "my::foundation"
        };
        let expected = quote! {
            #[my::foundation::__private::tokio::test(
                flavor = "multi_thread", worker_threads = 2, crate = "my::foundation::__private::tokio"
            )]
            async fn scenario() {
                async fn scenario() {}

                my::foundation::testing::run(
                    my::foundation::testing::TestOptions::new("scenario")
                        .builder(my_builder())
                        .allow_leaks()
                        .leak_timeout(::core::time::Duration::from_millis(500)),
                    |_: my::foundation::TestNamespace| scenario()
                ).await
            }
        };
        assert_eq!(expanded(arguments, quote! { async fn scenario() {} }), expected.to_string());
    }

    #[test]
    fn start_paused_is_tokios() {
        let text = expanded(quote!(start_paused = true), quote! { async fn scenario() {} });
        assert!(
            text.contains(&quote!(test(start_paused = true, crate = "::foundation::__private::tokio")).to_string())
        );
    }

    #[test]
    fn leaks_are_checked_unless_they_are_allowed() {
        let text = expanded(quote!(allow_leaks = false), quote! { async fn scenario() {} });
        assert!(!text.contains("allow_leaks"));
    }

    #[test]
    fn attributes_visibility_and_return_type_are_kept_outside() {
        let item = quote! {
            /// Documented.
            #[should_panic]
            pub(crate) async fn scenario() -> Result<(), Error> { Ok(()) }
        };
        let kept = quote! {
            /// Documented.
            #[should_panic]
            pub(crate) async fn scenario() -> Result<(), Error> {
                async fn scenario() -> Result<(), Error> { Ok(()) }
            }
        };
        let text = expanded(quote!(), item);
        assert!(text.contains(kept.to_string().trim_end_matches([' ', '}'])));
    }

    #[test]
    fn a_raw_name_is_reported_without_its_prefix() {
        let text = expanded(quote!(), quote! { async fn r#match() {} });
        assert!(text.contains(&quote!(new("match")).to_string()) && text.contains("async fn r#match ()"));
    }

    #[test]
    fn faults_of_the_arguments_and_of_the_function_are_reported_together() {
        let error = expand(quote!(paused), quote! { fn scenario() {} }).unwrap_err();
        assert_eq!(error.into_iter().count(), 2);
    }
}
