# syntax=docker/dockerfile:1

# The files of the GraphiQL page, pinned by the lock file. This stage is the only one with Node.
FROM node:24-bookworm-slim AS graphiql
WORKDIR /graphiql
COPY engines/graphiql/package.json engines/graphiql/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
# Only what the page loads; the rest of node_modules has no place in the image.
WORKDIR /files
RUN cp --parents \
        /graphiql/node_modules/graphiql/graphiql.min.js \
        /graphiql/node_modules/graphiql/graphiql.min.css \
        /graphiql/node_modules/graphiql/LICENSE \
        /graphiql/node_modules/react/umd/react.production.min.js \
        /graphiql/node_modules/react/LICENSE \
        /graphiql/node_modules/react-dom/umd/react-dom.production.min.js \
        /graphiql/node_modules/react-dom/LICENSE \
        .

FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
COPY . .
# The caches keep the registry and the compiled dependencies from build to build; a cache is not
# part of the layer, so the binary is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    cargo build --release --locked --bin ricochet \
    && cp target/release/ricochet /usr/local/bin/ricochet

FROM debian:bookworm-slim
# Roots to verify ClickHouse and trackers by; of certificates the newest are the right ones.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin ricochet \
    && install --directory --owner=ricochet --group=ricochet /var/lib/ricochet
COPY --from=build /usr/local/bin/ricochet /usr/local/bin/ricochet
COPY --from=graphiql /files/graphiql/node_modules /usr/share/ricochet/graphiql
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/ricochet/
USER 10001:10001
# Only `ricochet dev` writes here; `serve` keeps nothing on the node's disk.
WORKDIR /var/lib/ricochet
ENV RICOCHET_LISTEN=0.0.0.0:8080 \
    RICOCHET_GRAPHIQL_DIR=/usr/share/ricochet/graphiql
EXPOSE 8080
# SIGTERM ends in an orderly stop within RICOCHET_GRACE_PERIOD_S.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["ricochet", "healthcheck"]
ENTRYPOINT ["ricochet"]
CMD ["serve"]
