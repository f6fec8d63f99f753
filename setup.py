"""Build the Cython extension; keep its sources, and what is not the package, out of the wheel.

The repository root is the import package, so setuptools would also pick up this script; everything else
about the project is declared in pyproject.toml.
"""

from __future__ import annotations

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_py import build_py

ROOT_MODULES = {"__init__", "testing"}
PACKAGES = ["aerotile"] + [
    f"aerotile.{name}" for name in find_packages(include=["domain*", "adapters*", "ext*", "migrations*"])
]


def folder_with_package() -> str:
    """A folder that holds the root under the package's name; Cython resolves names by folders."""
    link = Path("build", "by_name", "aerotile")
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(Path("..", ".."))
    return str(link.parent)


class PackageOnly(build_py):
    """`build_py` that takes only the package's own modules from the repository root."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        modules = super().find_package_modules(package, package_dir)
        if package == "aerotile":
            return [module for module in modules if module[1] in ROOT_MODULES]
        return modules


setup(
    packages=PACKAGES,
    package_dir={"aerotile": "."},
    package_data={
        "aerotile": ["py.typed"],
        "aerotile.ext": ["*.pyi"],
        "aerotile.adapters.map_page": ["static/*"],
        "aerotile.adapters.postgres": ["*.sql"],
        "aerotile.migrations": ["*.mako"],
    },
    include_package_data=False,
    cmdclass={"build_py": PackageOnly},
    ext_modules=cythonize(
        [
            Extension(
                f"aerotile.ext.{path.stem}",
                [str(path)],
                define_macros=[("_GNU_SOURCE", "1")],
                # Grid arithmetic gives the bits that Python's gives; fused operations round differently.
                extra_compile_args=["-ffp-contract=off"],
                extra_link_args=["-Wl,--strip-all"],
            )
            for path in sorted(Path("ext").glob("*.pyx"))
        ],
        # `from _posix cimport ...`: C only, nothing is imported. `from aerotile.ext.catalogue cimport ...`: a
        # compiled module, which is imported.
        include_path=["ext", folder_with_package()],
        compiler_directives={"language_level": "3", "embedsignature": True},
    ),
)
