<?php
// SPDX-License-Identifier: MIT
// A small web page in PHP: says who answers. "/page" may be cached.
header("X-Worker: php");
header("Content-Type: text/plain");
if ($_SERVER["REQUEST_URI"] === "/page") {
    header("Cache-Control: public, max-age=60");
    echo "made at ", microtime(true), "\n";
} else {
    header("Cache-Control: no-store");
    echo "php on ", gethostname(), "\n";
}
