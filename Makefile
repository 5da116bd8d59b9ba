# Everything a newcomer needs: `make run` and `make test`.

.PHONY: run test build bench clean

# Release: the demo is also what people measure.
run:
	cargo run --release --locked -- dev --demo

build:
	cargo build --release --locked

# Format, lints, then every test: units, properties, and the whole on real engines.
test:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked

# Against a server that `make run` has started in another terminal.
bench:
	cargo run --release --locked -- bench

clean:
	cargo clean
