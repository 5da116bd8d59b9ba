# Everything a newcomer needs: `make run` and `make test`.

.PHONY: run test build bench chaos fuzz clean

# Release: the demo is also what people measure.
run:
	cargo run --release --locked -- dev --demo

build:
	cargo build --release --locked

# Format, lints, then every test: units, properties, and the whole on real engines.
test:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --all-targets

# Against a server that `make run` has started in another terminal.
bench:
	cargo run --release --locked -- bench

# Nodes, databases and trackers broken at random, until so many kills; CHAOS_SEED repeats a run.
CHAOS_KILLS ?= 500
chaos:
	RICOCHET_CHAOS_KILLS=$(CHAOS_KILLS) $(if $(CHAOS_SEED),RICOCHET_CHAOS_SEED=$(CHAOS_SEED)) \
		cargo test --locked --test all chaos:: -- --nocapture

# Every fuzz target for FUZZ_SECONDS; stops at the first crash. Without a sanitizer: what is fuzzed
# is safe Rust, in which panics and overflows are what there is to find, and AddressSanitizer would
# build every dependency once more and run several times slower. FUZZ_SANITIZER=address has it.
FUZZ_SECONDS ?= 30
FUZZ_SANITIZER ?= none
fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked" >&2; exit 1; }
	@set -e; for target in $$(cargo fuzz list); do \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer $(FUZZ_SANITIZER) $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS); \
	done

clean:
	cargo clean
