"""The real AWS CLI without its start: one process has it loaded and forks for each call, which is five times as fast.

`python tests/aws_cli.py SOCKET` serves; `CLIENT` is what a PATH holds as `aws`. What runs is `awscli` from PyPI,
unchanged.
"""
from __future__ import annotations

import sys

from forked import client, serve

CLIENT = client("AWS_CLI_SOCKET")


def loaded():
    """Return the CLI's driver with the models of SSM and S3 in memory"""
    from awscli.clidriver import create_clidriver

    driver = create_clidriver()
    models = driver.session.get_component("data_loader")
    for service in ("ssm", "s3"):
        for kind in ("service-2", "endpoint-rule-set-1", "paginators-1"):
            models.load_service_model(service, kind)
    driver.session.get_component("endpoint_resolver")
    return driver


if __name__ == "__main__":
    serve(sys.argv[1], loaded().main)
