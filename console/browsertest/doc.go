// Package browsertest has the tests of the console that need a browser: Chromium,
// driven by chromedp, and axe-core, which looks for what people cannot use. `make
// servers` installs both; without them the tests are skipped, and with
// SEMEL_TEST_REQUIRE=all that is a failure.
//
// To see the pages:
//
//	go test -run Stories -artifacts -outputdir /tmp ./console/browsertest
package browsertest
