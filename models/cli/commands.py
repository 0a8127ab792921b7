"""Command-line entry point: the group of commands, and what every error of theirs ends with."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import rich_click as click

from clpips import __version__
from clpips.models.bulk.errors import BulkError
from clpips.models.cli.backbone import backbone_group
from clpips.models.cli.evaluate import evaluate_command
from clpips.models.cli.explain import explain_command
from clpips.models.cli.export import export_command
from clpips.models.cli.export_lpips import export_lpips_command
from clpips.models.cli.fit import fit_command
from clpips.models.cli.heatmap import heatmap_command
from clpips.models.cli.matrix import matrix_command
from clpips.models.cli.output import write_what_can_be_written
from clpips.models.cli.score import score_command
from clpips.models.cli.scoring import distance_command, rank_command
from clpips.models.engines.contract import EngineError
from clpips.models.images.errors import ImageError
from clpips.models.metric.backbone_file import BackboneError
from clpips.models.metric.weights import WeightsError
from clpips.models.rankings.files import RankingsError

click.rich_click.TEXT_MARKUP = "markdown"
click.rich_click.SHOW_ARGUMENTS = True

BAD_INPUT = 2  # exit code
USER_ERRORS = (ImageError, WeightsError, BackboneError, EngineError)


@click.group(
    commands=[
        distance_command,
        rank_command,
        heatmap_command,
        matrix_command,
        score_command,
        explain_command,
        export_command,
        export_lpips_command,
        backbone_group,
        fit_command,
        evaluate_command,
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", message="clpips %(version)s")
def commands() -> None:
    """CLPIPS: image similarity that learns what *you* mean by similar.

    Distances are LPIPS's (AlexNet) unless you name other weights: 0 is identical, larger is less similar.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line. Bad input ends with exit code 2 and one line on standard error, never a traceback."""
    write_what_can_be_written()
    try:
        code = commands.main(args=arguments, prog_name="clpips", standalone_mode=False)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (RankingsError, BulkError) as error:  # one line a problem: there may be many
        click.echo(f"clpips: {error}", err=True)
        sys.exit(BAD_INPUT)
    except USER_ERRORS as error:
        _fail(str(error), BAD_INPUT)
    except MemoryError:
        _fail("there is not enough memory for this; take fewer or smaller images", BAD_INPUT)
    except OSError as error:
        file = error.filename2 or error.filename or "the system"  # the second is what is written, where one is copied
        _fail(f"{file}: {error.strerror or error}", BAD_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    click.echo("clpips: " + " ".join(message.split()), err=True)
    sys.exit(code)
