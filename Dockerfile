# syntax=docker/dockerfile:1
# docker build -t remediator . ; a wheel is built, then installed into a slim image that runs as uid 1001.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY remediator remediator
COPY rules rules
COPY alerts alerts
COPY dashboards dashboards
RUN pip install --no-cache-dir --prefix=/install --constraint constraints.txt .

FROM python:3.11-slim
ARG REVISION=unknown
LABEL org.opencontainers.image.title=remediator org.opencontainers.image.licenses=Apache-2.0 org.opencontainers.image.revision=$REVISION
ENV REMEDIATOR_REVISION=$REVISION PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /install /usr/local
RUN mkdir -p /var/lib/remediator && chown 1001:1001 /var/lib/remediator
USER 1001:1001
EXPOSE 9099
ENTRYPOINT ["remediator"]
CMD ["serve", "--config", "/etc/remediator/remediator.yaml"]
