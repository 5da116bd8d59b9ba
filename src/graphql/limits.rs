//! How deep and how large a request may be, judged before anything else looks at it.
//!
//! The library has a depth limit of its own, but it counts introspection as well, and GraphiQL's
//! asks 14 levels deep; and it walks fragments again and again before it says no. So depth is
//! counted here: data and introspection each by its own measure, under a bound on the steps.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextPrepareRequest};
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Request, ServerError, ServerResult, async_trait};

/// Levels of fields below the operation.
const MAX_DEPTH: usize = 10;
/// The same within `__schema` and `__type`.
const MAX_INTROSPECTION_DEPTH: usize = 15;
/// How often introspection may go from a type to the types of its fields: every step multiplies
/// the answer by the size of the schema.
const MAX_INTROSPECTION_LISTS: usize = 2;
/// Fields and fragments, with every fragment counted where it is used.
const MAX_SELECTIONS: usize = 5_000;
/// Fragments within fragments; a cycle ends here.
const MAX_NESTING: usize = 32;

/// Sum over the request of one a field and, for a list, the rows of its page.
pub const MAX_COMPLEXITY: usize = 5_000;

pub struct Limits;

impl ExtensionFactory for Limits {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for Limits {
    async fn prepare_request(
        &self,
        ctx: &ExtensionContext<'_>,
        mut request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        check(request.parsed_query()?).map_err(|sentence| ServerError::new(sentence, None))?;
        next.run(ctx, request).await
    }
}

fn check(document: &ExecutableDocument) -> Result<(), String> {
    let mut walk = Walk { document, selections: 0 };
    for (_, operation) in document.operations.iter() {
        walk.visit(&operation.node.selection_set.node, Place::default())?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    depth: usize,
    nesting: usize,
    is_introspection: bool,
    introspection_lists: usize,
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    selections: usize,
}

impl Walk<'_> {
    fn visit(&mut self, set: &SelectionSet, place: Place) -> Result<(), String> {
        if place.nesting > MAX_NESTING {
            return Err(format!("the request nests more than {MAX_NESTING} levels; ask for less in each"));
        }
        let inner = Place { nesting: place.nesting + 1, ..place };
        for item in &set.items {
            self.selections += 1;
            if self.selections > MAX_SELECTIONS {
                return Err(format!(
                    "the request selects more than {MAX_SELECTIONS} fields, fragments counted where they are used; \
                     split it"
                ));
            }
            match &item.node {
                Selection::Field(field) => {
                    let inner = enter(field.node.name.node.as_str(), inner)?;
                    self.visit(&field.node.selection_set.node, inner)?;
                }
                Selection::InlineFragment(fragment) => {
                    self.visit(&fragment.node.selection_set.node, inner)?
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    // One that is not defined is refused by the validation that follows.
                    if let Some(fragment) = self.document.fragments.get(name) {
                        self.visit(&fragment.node.selection_set.node, inner)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn enter(field: &str, outer: Place) -> Result<Place, String> {
    let mut place = Place { depth: outer.depth + 1, ..outer };
    place.is_introspection |= matches!(field, "__schema" | "__type");
    if place.is_introspection {
        let multiplies = matches!(field, "fields" | "inputFields" | "interfaces" | "possibleTypes");
        place.introspection_lists += usize::from(multiplies);
        if place.introspection_lists > MAX_INTROSPECTION_LISTS {
            return Err(format!(
                "introspection may go from a type to its fields {MAX_INTROSPECTION_LISTS} times; take the rest by name"
            ));
        }
    }
    let most = if place.is_introspection { MAX_INTROSPECTION_DEPTH } else { MAX_DEPTH };
    if place.depth > most {
        return Err(format!("the request is more than {most} fields deep; ask for less in each"));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn refusal(query: &str) -> Option<String> {
        check(&parse_query(query).unwrap()).err()
    }

    fn nested(field: &str, levels: usize) -> String {
        format!("{{ {} }}", (0..levels).fold("leaf".to_owned(), |inner, _| format!("{field} {{ {inner} }}")))
    }

    #[test]
    fn depth_has_a_bound() {
        assert_eq!(refusal(&nested("a", 9)), None);
        assert!(refusal(&nested("a", 10)).unwrap().contains("10 fields deep"));
    }

    #[test]
    fn introspection_may_be_as_deep_as_graphiql_asks_and_not_grow_without_end() {
        let types = (0..9).fold("name".to_owned(), |inner, _| format!("name ofType {{ {inner} }}"));
        assert_eq!(
            refusal(&format!("{{ __schema {{ types {{ fields {{ args {{ type {{ {types} }} }} }} }} }} }}")),
            None
        );
        let growing = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
        assert!(refusal(growing).unwrap().contains("introspection"));
    }

    #[test]
    fn fragments_cannot_hide_size() {
        let mut bomb = String::from("{ ...F0 }");
        for level in 0..30 {
            bomb += &format!(" fragment F{level} on Query {{ ...F{} ...F{} }}", level + 1, level + 1);
        }
        bomb += " fragment F30 on Query { __typename }";
        assert!(refusal(&bomb).unwrap().contains("5000"));
        assert!(refusal("{ ...F } fragment F on Query { ...F }").unwrap().contains("nests"));
    }
}
