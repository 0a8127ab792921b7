# The CLPIPS service as an image, in three targets:
#
#   docker build --target cpu -t clpips:cpu .     ONNX Runtime, no PyTorch
#   docker build --target bulk -t clpips:bulk .   the same, and what `clpips score` needs for data sets
#   docker build --target gpu -t clpips:gpu .     PyTorch and ONNX Runtime on CUDA; the CUDA libraries come from the wheels
#
# The weights are inside: nothing is fetched at start. The label of licences counts theirs: EfficientNet-Lite0's is
# Apache-2.0, AlexNet's BSD-3-Clause, LPIPS's BSD-2-Clause (NOTICE has them).
# Any base with Python 3.11 or newer and its `venv` module will do.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-bookworm

# --- build: one wheel of the project, one virtual environment a target -------------------------------------------------
FROM ${BASE_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
# pip lives in an environment of its own, so that none is left in the one that serves.
RUN python3 -m venv /opt/build \
 && python3 -m venv --without-pip /opt/clpips
WORKDIR /src
COPY . .
RUN /opt/build/bin/pip wheel --no-deps --wheel-dir /dist .

# pip compiles the bytecode here because the root is read-only where it runs. Dropped, because nobody calls it there:
# the libraries' own tests; ONNX Runtime's library for C (Python's has it built in) and its tools that make models; of
# faker, which invents examples for OpenAPI pages and is there only because Litestar asks for it, every language but
# English. deploy/check_image.sh runs what is left.
FROM build AS build-cpu
RUN /opt/build/bin/pip --python /opt/clpips/bin/python install --constraint constraints.txt \
      "$(ls /dist/*.whl)[cpu,decode,postgresql]" \
 && find /opt/clpips -depth -type d -name tests -path '*/site-packages/*' -exec rm -rf {} + \
 && find /opt/clpips -path '*/onnxruntime/capi/libonnxruntime.so*' -delete \
 && find /opt/clpips -depth -type d -regex '.*/onnxruntime/\(transformers\|quantization\|tools\)' -exec rm -rf {} + \
 && find /opt/clpips -depth -type d -path '*/faker/providers/*/??_??' ! -name en_US -exec rm -rf {} +

FROM build-cpu AS build-bulk
RUN /opt/build/bin/pip --python /opt/clpips/bin/python install --constraint constraints.txt \
      "$(ls /dist/*.whl)[bulk,gcs]"

FROM build AS build-gpu
RUN /opt/build/bin/pip --python /opt/clpips/bin/python install --constraint constraints.txt \
      "$(ls /dist/*.whl)[gpu,torch,decode,postgresql]"

# --- runtime: the base, the environment, one user that owns nothing but its data folder --------------------------------
FROM ${BASE_IMAGE} AS runtime
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="clpips" \
      org.opencontainers.image.description="The image-similarity service that learns what you mean by similar" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause AND BSD-2-Clause" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/clpips/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CLPIPS_HOST=0.0.0.0 \
    CLPIPS_PORT=8000 \
    CLPIPS_LOG_FORMAT=json
# A number and not a name: Kubernetes can only check `runAsNonRoot` against a number.
RUN install --directory --owner 65532 --group 65532 --mode 0750 /var/lib/clpips
WORKDIR /var/lib/clpips
USER 65532:65532
VOLUME /var/lib/clpips
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['CLPIPS_PORT']}/healthz\", timeout=2)"]
ENTRYPOINT ["clpips"]
CMD ["serve"]

FROM runtime AS gpu
# What the NVIDIA container runtime hands in: the driver's compute libraries and nvidia-smi, no display.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CLPIPS_DEVICE=cuda \
    TRITON_CACHE_DIR=/tmp/triton
# The one build tool in an image of ours: at its first start Triton compiles the launchers of its kernels with it.
# Without it the engine says so and takes slower kernels.
USER 0:0
# hadolint ignore=DL3008 # a compiler of whatever version the base has: nothing that is built here stays
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
USER 65532:65532
COPY --from=build-gpu /opt/clpips /opt/clpips

FROM runtime AS bulk
ENV CLPIPS_DEVICE=cpu
COPY --from=build-bulk /opt/clpips /opt/clpips

FROM runtime AS cpu
ENV CLPIPS_DEVICE=cpu
COPY --from=build-cpu /opt/clpips /opt/clpips
