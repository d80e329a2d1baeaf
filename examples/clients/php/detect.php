<?php
// Have an Oddwave service label the rows of a CSV: detect.php INPUT.csv OUTPUT.csv [URL].
// If ODDWAVE_API_KEY is set, it is sent as the key.

declare(strict_types=1);

const ATTEMPTS = 3; // while the service is busy

/** What to tell the user. */
final class Failure extends RuntimeException {}

/** Send a CSV and return the service's: time, label and score of every row. */
function detect(string $table, string $address): string
{
    [$status, $body] = send($address, json_encode(['csv' => base64_encode($table)], JSON_THROW_ON_ERROR));
    $answer = json_decode($body, true);
    if ($status !== 200) {
        throw new Failure(refusal($status, $answer));
    }
    $csv = $answer['result']['csv'] ?? null;
    $labelled = is_string($csv) ? base64_decode($csv, strict: true) : false;
    return $labelled ?: throw new Failure("The answer of $address isn't the documented one.");
}

/** @return array{int, string} status and body */
function send(string $address, string $body): array
{
    $headers = ['Content-Type: application/json'];
    if ($key = getenv('ODDWAVE_API_KEY')) {
        $headers[] = "Authorization: Bearer $key";
    }
    $curl = curl_init($address);
    curl_setopt_array($curl, [
        CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
        CURLOPT_POSTFIELDS => $body,
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_CONNECTTIMEOUT => 10,
        CURLOPT_TIMEOUT => 60,
    ]);
    for ($attempt = 1; ; $attempt++) {
        $answer = curl_exec($curl);
        if ($answer === false) {
            throw new Failure("Can't reach $address: " . curl_error($curl));
        }
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        if ($status !== 503 || $attempt === ATTEMPTS) {
            return [$status, $answer];
        }
        sleep(min(curl_getinfo($curl, CURLINFO_RETRY_AFTER) ?: 1, 30));
    }
}

/** Say why the service refused, in its own words if it gave any. */
function refusal(int $status, mixed $answer): string
{
    return isset($answer['errorMsg'], $answer['errorCode'], $answer['logId'])
        ? "The service refused: {$answer['errorMsg']} (errorCode {$answer['errorCode']}, logId {$answer['logId']})"
        : "The service answered with HTTP status $status and no reason.";
}

/** Write a file whole or not at all. */
function save(string $path, string $content): void
{
    $part = "$path.part";
    try {
        if (file_put_contents($part, $content) !== strlen($content)) {
            throw new ErrorException('the disk is full');
        }
        rename($part, $path);
    } finally {
        is_file($part) && unlink($part);
    }
}

function run(string $source, string $target, string $url = 'http://127.0.0.1:8080'): void
{
    set_error_handler(fn (int $_, string $message) => throw new ErrorException($message));
    try {
        $table = file_get_contents($source);
    } catch (ErrorException $error) {
        throw new Failure("Can't read $source: {$error->getMessage()}");
    }
    $labelled = detect($table, rtrim($url, '/') . '/time-series-anomaly-detection');
    try {
        save($target, $labelled);
    } catch (ErrorException $error) {
        throw new Failure("Can't write $target: {$error->getMessage()}");
    }
    $rows = array_map(str_getcsv(...), explode("\n", rtrim($labelled)));
    $labels = array_column(array_slice($rows, 1), 1); // time, label, score
    printf("%s: %d rows, %d of them anomalous\n", $target, count($labels), count(array_keys($labels, '1', true)));
}

try {
    if ($argc !== 3 && $argc !== 4) {
        throw new Failure('usage: detect.php INPUT.csv OUTPUT.csv [URL]');
    }
    run(...array_slice($argv, 1));
} catch (Failure $failure) {
    fwrite(STDERR, $failure->getMessage() . "\n");
    exit(1);
}
