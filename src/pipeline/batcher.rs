//! Group commit: what arrives while a write is under way is written together next.
//!
//! A batch closes when the pipe is free, never after a wait: alone, an item goes at once; under
//! load, batches grow until they keep up.

use std::collections::VecDeque;

/// A bounded queue in front of a pipe that takes one batch at a time.
#[derive(Debug)]
pub struct Batcher<T> {
    waiting: VecDeque<T>,
    bound: usize,
    largest_batch: usize,
    is_pipe_free: bool,
}

impl<T> Batcher<T> {
    /// `bound` is how many items may wait; one more is handed back by [`Batcher::push`].
    pub fn new(bound: usize, largest_batch: usize) -> Self {
        Self { waiting: VecDeque::new(), bound, largest_batch, is_pipe_free: true }
    }

    /// Takes an item, or gives it back when the queue is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.waiting.len() >= self.bound {
            return Err(item);
        }
        self.waiting.push_back(item);
        Ok(())
    }

    /// The next batch, if there is one and the pipe is free; the pipe is taken then, until
    /// [`Batcher::pipe_is_free`].
    pub fn next_batch(&mut self) -> Option<Vec<T>> {
        if !self.is_pipe_free || self.waiting.is_empty() {
            return None;
        }
        self.is_pipe_free = false;
        let size = self.waiting.len().min(self.largest_batch);
        Some(self.waiting.drain(..size).collect())
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn pipe_is_free(&mut self) {
        self.is_pipe_free = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_wait_go_together_in_their_order() {
        let mut batcher = Batcher::new(4, 3);
        assert_eq!(batcher.next_batch(), None);
        batcher.push(1).unwrap();
        assert_eq!(batcher.next_batch(), Some(vec![1]));
        for item in 2..=5 {
            batcher.push(item).unwrap();
        }
        assert_eq!(batcher.next_batch(), None, "the pipe is taken");
        assert_eq!(batcher.push(6), Err(6), "the queue is full");
        batcher.pipe_is_free();
        assert_eq!(batcher.next_batch(), Some(vec![2, 3, 4]));
        batcher.pipe_is_free();
        assert_eq!(batcher.next_batch(), Some(vec![5]));
        batcher.pipe_is_free();
        assert_eq!(batcher.next_batch(), None);
    }
}
