# The service in an image that holds its program and the C libraries, and nothing else: no shell, no package
# manager, no root. docs/deployment.md says how to build and run it.
#
# The tags are fixed versions. Where images must be the same bytes, add the digest of each (@sha256:…).

FROM rust:1.95.0-bookworm AS build
WORKDIR /source
# The image below has no zlib, which the client of Kafka needs: it becomes a part of the program.
ENV LIBZ_SYS_STATIC=1
COPY . .
# What was compiled stays in caches of the builder, and is not part of any layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/source/target,sharing=locked \
    cargo build --locked --profile dist --package cli --bin result-aggregator --features kafka-tls \
    && install -D --mode=0755 target/dist/result-aggregator /image/result-aggregator \
    && install -d --mode=0700 /image/data

# As old as the image of the build: a program needs the C library that it was linked with, or a later one, and the
# OpenSSL that it was linked with.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /image/result-aggregator /usr/local/bin/result-aggregator
COPY --from=build --chown=65532:65532 /image/data /data
# All addresses of the container. Without RAS_INTERNAL_API_KEY the start is refused.
ENV RAS_LISTEN=0.0.0.0:4003 \
    RAS_DATA_DIR=/data \
    RAS_LOG_FORMAT=json
USER 65532:65532
# Only the embedded mode writes there.
VOLUME ["/data"]
EXPOSE 4003
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/result-aggregator", "health"]
ENTRYPOINT ["/usr/local/bin/result-aggregator"]
CMD ["serve"]
