"""The health of a runtime, and what reports it to a supervisor."""

from __future__ import annotations

from functools import cached_property

from ..background import BackgroundTask
from ..health.health_file import HealthFile
from ..health.monitor import PartsMonitor
from ..health.service_manager import ServiceManager
from .degraded import RecentCounts, degraded_states
from .lookup_parts import LookupParts


class HealthParts(LookupParts):
    """Health of what is open: asked by the flight loop, written to a file, told to systemd."""

    @cached_property
    def health_monitor(self) -> PartsMonitor:
        """The monitor, with the threads that report what it says.

        The file and systemd have a thread each: a disk that hangs must not starve the watchdog.
        """
        recent = RecentCounts(self.clock)
        monitor = PartsMonitor(lambda: degraded_states(vars(self), recent), self.clock)
        settings = self.config.health
        path = self.config.health_file
        file = HealthFile(path, self.clock, settings.period_s)
        self._closers.append(file.remove)
        reporter = BackgroundTask(
            "the health file", lambda: file.write(monitor.health()), interval_s=settings.period_s
        )
        self._closers.append(reporter.close)
        asker = BackgroundTask("the database", self._ask_database_again, interval_s=settings.period_s)
        self._closers.append(asker.close)
        manager = ServiceManager()
        if manager.is_asked:
            self._closers.append(manager.tell_stopping)
            teller = BackgroundTask(
                "the service manager",
                lambda: manager.tell(monitor.health()),
                interval_s=manager.period_s(settings.period_s),
            )
            self._closers.append(teller.close)
        return monitor

    def _ask_database_again(self) -> None:
        database = vars(self).get("database")
        if database is not None:
            database.ask_again()
