//! Stack for answers, however deep they nest.
//!
//! A field is resolved inside the one around it, and the code that async-graphql makes of a type with
//! many fields takes tens of kilobytes of stack a level (in a debug build, a hundred): a request of the
//! depth that is allowed must not run out of a thread's two megabytes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{ServerResult, Value, async_trait};

/// More than lies between one field and the next.
const ROOM_BYTES: usize = 1024 * 1024;
/// What is added where there is less room left; given back once the field is through.
const SEGMENT_BYTES: usize = 8 * 1024 * 1024;

pub struct Stack;

impl ExtensionFactory for Stack {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Extension for Stack {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        WithRoom(Box::pin(next.run(ctx, info))).await
    }
}

/// A future that always has room to be polled in.
struct WithRoom<F: ?Sized>(Pin<Box<F>>);

impl<F: Future + ?Sized> Future for WithRoom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        stacker::maybe_grow(ROOM_BYTES, SEGMENT_BYTES, || self.0.as_mut().poll(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each level takes a good part of a thread's stack, as fields do.
    fn deep(levels: usize) -> Pin<Box<dyn Future<Output = usize>>> {
        Box::pin(std::future::poll_fn(move |context| {
            let taken = std::hint::black_box([1_u8; 256 * 1024]);
            let below = match levels {
                0 => Poll::Ready(0),
                levels => Pin::new(&mut WithRoom(deep(levels - 1))).poll(context),
            };
            below.map(|below| below + usize::from(taken[levels]))
        }))
    }

    #[tokio::test]
    async fn nesting_does_not_run_out_of_stack() {
        assert_eq!(WithRoom(deep(40)).await, 41);
    }
}
