"""Package metadata: everything is read from settings.ini, nbdev's own file."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
parser = ConfigParser(delimiters=["="])
parser.read(here / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    license="Apache-2.0",
    keywords=cfg["keywords"],
    packages=find_packages(include=["pretamane_analysis*"]),
    package_data={"pretamane_analysis": ["py.typed", "data/**", "templates/**"]},
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={"dev": cfg["dev_requirements"].split(), "lab": cfg["lab_requirements"].split(),
                    "bench": cfg["bench_requirements"].split(), "audit": cfg["audit_requirements"].split(),
                    "mutation": cfg["mutation_requirements"].split(),
                    "compose": cfg["compose_requirements"].split(), "helm": cfg["helm_requirements"].split(),
                    "bill-athena": cfg["bill_athena_requirements"].split()},
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"],
    },
)
