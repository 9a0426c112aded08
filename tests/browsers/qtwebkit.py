"""Opens a page in QtWebKit and keeps it open; for Debian's own Python, which has Debian's Qt.

Arguments: the URL, and where a picture goes when the process is told to end.
"""

import signal
import sys

from PyQt5.QtCore import QTimer, QUrl
from PyQt5.QtGui import QImage, QPainter
from PyQt5.QtWebKitWidgets import QWebPage
from PyQt5.QtWidgets import QApplication

url, picture = sys.argv[1:]
application = QApplication(sys.argv[:1])
page = QWebPage()
page.setViewportSize(page.viewportSize().expandedTo(page.preferredContentsSize()))


def end() -> None:
    image = QImage(900, 640, QImage.Format_RGB32)
    image.fill(0xFFFFFF)
    page.setViewportSize(image.size())
    painter = QPainter(image)
    page.mainFrame().render(painter)
    painter.end()
    image.save(picture)
    application.quit()


signal.signal(signal.SIGTERM, lambda *_: end())
# Python looks at signals only while it runs; Qt's loop is not Python.
ticking = QTimer()
ticking.timeout.connect(lambda: None)
ticking.start(50)
page.mainFrame().load(QUrl(url))
application.exec_()
