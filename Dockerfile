# The images of docker-compose.yml: gateway, django (also archiver, relay), proxy.
# Nothing is built in what is shipped: virtual environments are made in one stage and copied.
# The version and the commit come from whoever builds: `make stack` does.

FROM python:3.13-slim AS wheels
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/constraints.txt .
RUN python -m pip wheel -q -c constraints.txt -w /wheels \
    "tornado" "sockjs-tornado" "pika" "msgspec" "prometheus-client" "PyJWT" "Django" "gunicorn"
COPY gateway gateway
COPY djangoapp djangoapp
RUN python -m pip wheel -q --no-deps -w /wheels ./gateway ./djangoapp
RUN for app in gateway django; do python -m venv --without-pip /opt/$app; done \
    && python -m pip --python /opt/gateway/bin/python install -q --no-index --find-links /wheels \
        "roomline[server]" \
    && python -m pip --python /opt/django/bin/python install -q --no-index --find-links /wheels \
        "django-roomline[rabbitmq]" gunicorn

FROM python:3.13-slim AS python
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# Nobody installs anything into a running container.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/bin/pip*
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
STOPSIGNAL SIGTERM

FROM python AS gateway
LABEL org.opencontainers.image.title="Roomline gateway"
COPY --from=wheels /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH
USER 10001:10001
EXPOSE 8001 8002
ENTRYPOINT ["roomline"]
CMD ["serve"]

FROM python AS django
LABEL org.opencontainers.image.title="Roomline demo"
COPY --from=wheels /opt/django /opt/django
COPY djangoapp/manage.py /srv/demo/
COPY djangoapp/demo /srv/demo/demo
ENV PATH=/opt/django/bin:$PATH \
    DJANGO_SETTINGS_MODULE=demo.production \
    DEMO_DATA=/data \
    DEMO_STATIC=/srv/static
WORKDIR /srv/demo
# The values are for this one command; none of them is left in the image's environment.
RUN DJANGO_SECRET_KEY=build DEMO_PASSWORD=build DEMO_HOSTS=build DEMO_HTTPS=false \
    ROOMLINE_KEYS=build:0123456789abcdef0123456789abcdef DJANGO_BROKER=amqp://build \
    python manage.py collectstatic --no-input --verbosity 0 \
    && mkdir /data && chown 10001:10001 /data
USER 10001:10001
VOLUME /data
EXPOSE 8000
CMD ["gunicorn", "demo.wsgi", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "4", "--worker-tmp-dir", "/tmp", "--no-control-socket", "--access-logfile", "-"]

FROM nginx:1.28-alpine AS proxy
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Roomline proxy" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY proxy/nginx.conf proxy/healthy.sh /etc/roomline/
COPY --from=django /srv/static /srv/static
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGQUIT
# -e: the place that is compiled in cannot be written here.
ENTRYPOINT ["nginx", "-e", "stderr", "-c", "/etc/roomline/nginx.conf", "-g", "daemon off;"]
CMD []
